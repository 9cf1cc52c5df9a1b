"""The hooks a plugin may implement; the whole surface between core and plugins.

Registration hooks (``register_<kind>s``) say which components a plugin brings. Stage hooks
(``fit``, ``evaluate``, ``recommend``, ``update``) replace or wrap a step of a pipeline.
Notifications tell what happened. Registration and stages run on every rank of a distributed run,
notifications on rank zero alone; a wrapper must not make collective calls.

What a stage is given is typed in ``rankloom.api``; those names stand here for type checkers alone,
since this module imports nothing above it. ``update`` has no context of its own yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from rankloom.api import EvaluateContext, FitContext, FitLog, RecommendContext
    from rankloom.components import ComponentSpec
    from rankloom.evaluation.report import EvaluationReport
    from rankloom.pipeline.engine import Outcome
    from rankloom.protocols import Slates

__all__ = ["HOOK_OF_KIND", "PROJECT", "STAGES", "hookimpl", "hookspec"]

#: Name of the pluggy project; the entry-point group is ``rankloom.plugins``.
PROJECT = "rankloom"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

#: Hooks that run a step of a pipeline, in the order of a run.
STAGES: tuple[str, ...] = ("fit", "evaluate", "recommend", "update")

#: The registration hook of every kind of component.
HOOK_OF_KIND: dict[str, str] = {
    "encoder": "register_encoders",
    "fusion": "register_fusions",
    "scorer": "register_scorers",
    "objective": "register_objectives",
    "sampler": "register_samplers",
    "retriever": "register_retrievers",
    "guard": "register_guards",
    "policy": "register_policies",
    "simulator": "register_simulators",
    "source": "register_sources",
    "split": "register_splits",
    "metric": "register_metrics",
    "estimator": "register_estimators",
    "command": "register_commands",
}


# ------------------------------------------------------------------------------------------
# Registration: called once, when the registry is first needed and before any config is read
# ------------------------------------------------------------------------------------------


@hookspec
def register_encoders() -> Sequence[ComponentSpec]:  # type: ignore[empty-body]
    """Register encoders: what turns one field's raw values into vectors.

    Called once, when the registry is first needed and before any configuration is read; never
    during a run. It must not import torch: name the implementation as ``"module:Class"``.

    Returns:
        Specs built with :func:`rankloom.component`; names must be unique across plugins. Where
        two plugins bring the same name, a built-in keeps it; otherwise neither gets it, and the
        error names both.
    """


@hookspec
def register_fusions() -> Sequence[ComponentSpec]:  # type: ignore[empty-body]
    """Register fusions: what joins several encodings of one item or query.

    Called and checked like :func:`register_encoders`.

    Returns:
        Specs built with :func:`rankloom.component`.
    """


@hookspec
def register_scorers() -> Sequence[ComponentSpec]:  # type: ignore[empty-body]
    """Register scorers: what compares queries with candidates.

    Called and checked like :func:`register_encoders`.

    Returns:
        Specs built with :func:`rankloom.component`.
    """


@hookspec
def register_objectives() -> Sequence[ComponentSpec]:  # type: ignore[empty-body]
    """Register objectives: losses that models are trained with.

    Called and checked like :func:`register_encoders`.

    Returns:
        Specs built with :func:`rankloom.component`.
    """


@hookspec
def register_samplers() -> Sequence[ComponentSpec]:  # type: ignore[empty-body]
    """Register samplers: where negatives come from.

    Called and checked like :func:`register_encoders`.

    Returns:
        Specs built with :func:`rankloom.component`.
    """


@hookspec
def register_retrievers() -> Sequence[ComponentSpec]:  # type: ignore[empty-body]
    """Register retrievers: what finds candidates in the whole catalog.

    Called and checked like :func:`register_encoders`.

    Returns:
        Specs built with :func:`rankloom.component`.
    """


@hookspec
def register_guards() -> Sequence[ComponentSpec]:  # type: ignore[empty-body]
    """Register guards: rules over what may be shown.

    Called and checked like :func:`register_encoders`.

    Returns:
        Specs built with :func:`rankloom.component`.
    """


@hookspec
def register_policies() -> Sequence[ComponentSpec]:  # type: ignore[empty-body]
    """Register policies: what decides which candidates are shown.

    Called and checked like :func:`register_encoders`.

    Returns:
        Specs built with :func:`rankloom.component`.
    """


@hookspec
def register_simulators() -> Sequence[ComponentSpec]:  # type: ignore[empty-body]
    """Register simulators: worlds that answer slates with feedback.

    Called and checked like :func:`register_encoders`.

    Returns:
        Specs built with :func:`rankloom.component`.
    """


@hookspec
def register_sources() -> Sequence[ComponentSpec]:  # type: ignore[empty-body]
    """Register sources: where data comes from.

    Called and checked like :func:`register_encoders`.

    Returns:
        Specs built with :func:`rankloom.component`.
    """


@hookspec
def register_splits() -> Sequence[ComponentSpec]:  # type: ignore[empty-body]
    """Register splits: how data is divided into training, validation and test.

    Called and checked like :func:`register_encoders`.

    Returns:
        Specs built with :func:`rankloom.component`.
    """


@hookspec
def register_metrics() -> Sequence[ComponentSpec]:  # type: ignore[empty-body]
    """Register metrics: how an answer is judged.

    Called and checked like :func:`register_encoders`.

    Returns:
        Specs built with :func:`rankloom.component`.
    """


@hookspec
def register_estimators() -> Sequence[ComponentSpec]:  # type: ignore[empty-body]
    """Register estimators: off-policy estimators of a policy's value.

    Called and checked like :func:`register_encoders`.

    Returns:
        Specs built with :func:`rankloom.component`.
    """


@hookspec
def register_commands() -> Sequence[ComponentSpec]:  # type: ignore[empty-body]
    """Register commands: subcommands of ``rankloom``.

    Called and checked like :func:`register_encoders`.

    Returns:
        Specs built with :func:`rankloom.component`.
    """


# ------------------------------------------------------------------------------------------
# Stages: the first result that is not None wins; core's own implementation comes last
# ------------------------------------------------------------------------------------------


@hookspec(firstresult=True)
def fit(context: FitContext) -> FitLog | None:
    """Fit a pipeline: prepare, closed forms, gradient training, calibration.

    Stops at the first result that is not None. Called once per ``rankloom fit`` or
    ``Pipeline.fit()``, after the data was read and split; not when a bundle is loaded. Use
    ``@hookimpl(wrapper=True)`` to act around it; a wrapper must return the result it yields for.

    Args:
        context: A :class:`rankloom.api.FitContext`: the pipeline, its dataset and split, and the
            run directory.

    Returns:
        The :class:`rankloom.api.FitLog`. A plugin that replaces the stage must leave the
        pipeline's parts fitted.
    """


@hookspec(firstresult=True)
def evaluate(context: EvaluateContext) -> EvaluationReport | None:
    """Judge a fitted pipeline on the held-out part.

    Stops at the first result that is not None. Called once per ``rankloom evaluate`` or
    ``Pipeline.evaluate()``; not for the validation during training. Use ``@hookimpl(wrapper=True)``
    to act around it; a wrapper must return the result it yields for.

    Args:
        context: A :class:`rankloom.api.EvaluateContext`: the pipeline, the split, the phase and
            the metrics asked for.

    Returns:
        The :class:`rankloom.evaluation.report.EvaluationReport`.
    """


@hookspec(firstresult=True)
def recommend(context: RecommendContext) -> Outcome | Slates | None:
    """Answer a batch of queries with slates.

    Stops at the first result that is not None. Called once per batch of requests, from the CLI, the
    Python API and a server alike; not inside evaluation or training. Use
    ``@hookimpl(wrapper=True)`` to act around it; a wrapper must return the result it yields for.

    Args:
        context: A :class:`rankloom.api.RecommendContext`: the pipeline, the requests and the
            query batch they became, ``k`` and the generator.

    Returns:
        Core's :class:`rankloom.pipeline.engine.Outcome` (slates with their trace), or
        :class:`rankloom.protocols.Slates` alone. A wrapper that changes them makes logged
        propensities untrue; write a policy or a guard instead.
    """


@hookspec(firstresult=True)
def update(context: Any) -> Any:
    """Learn from feedback.

    Stops at the first result that is not None. Called once per ``Pipeline.update()``, with
    decisions already joined to their feedback; not during ``fit``. Use ``@hookimpl(wrapper=True)``
    to act around it; a wrapper must return the result it yields for.

    Args:
        context: Holds the pipeline and the decisions with their rewards.

    Returns:
        The update report.
    """


# ------------------------------------------------------------------------------------------
# Notifications: every implementation is called, results are ignored
# ------------------------------------------------------------------------------------------


@hookspec
def after_fit_completed(context: FitContext, result: FitLog) -> None:
    """Called after ``fit`` has succeeded, before the bundle is written.

    Called once per fit on rank zero; not when a bundle is loaded, nor after a failed fit. An
    exception here fails the run.

    Args:
        context: What the ``fit`` stage was given.
        result: What the ``fit`` stage returned.
    """


@hookspec
def on_fit_error(context: FitContext, error: BaseException) -> None:
    """Called when ``fit`` raised, before the error is raised again.

    Called once on rank zero; not for errors in the config or the data, which come before ``fit``.

    Args:
        context: What the ``fit`` stage was given.
        error: What it raised.
    """
