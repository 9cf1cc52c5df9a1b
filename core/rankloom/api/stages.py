"""What the stage hooks are given, and how the API calls them.

A stage runs plugins' implementations and wrappers, with core's own implementation as the last one;
see ``rankloom.hookspecs``. Contexts are made for one call and never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from rankloom.api.fitting import FitLog
from rankloom.errors import PluginError
from rankloom.host import Host

if TYPE_CHECKING:
    from rankloom.api.pipeline import Pipeline
    from rankloom.api.query import Query
    from rankloom.data.dataset import Dataset, SplitResult
    from rankloom.protocols import Metric, QueryBatch, RaggedIndices

__all__ = [
    "EvaluateContext",
    "FitContext",
    "RecommendContext",
    "is_rank_zero",
    "run_fit",
    "run_stage",
]

C = TypeVar("C")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class FitContext:
    """What the ``fit`` stage is given.

    Attributes:
        pipeline: The pipeline; its parts are built and not fitted.
        dataset: All data, checked and prepared.
        split: Its parts.
        run_directory: Where the run is kept; None where it is not.
        dry_run: A small share of the users and one epoch.
    """

    pipeline: Pipeline
    dataset: Dataset
    split: SplitResult
    run_directory: Path | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class EvaluateContext:
    """What the ``evaluate`` stage is given.

    Attributes:
        pipeline: The fitted pipeline.
        split: The parts of its data.
        phase: ``"test"`` or ``"validation"``.
        metrics: The metrics asked for, in config order.
    """

    pipeline: Pipeline
    split: SplitResult
    phase: str
    metrics: Sequence[Metric]


@dataclass(frozen=True, slots=True)
class RecommendContext:
    """What the ``recommend`` stage is given, once a batch of requests.

    Attributes:
        pipeline: The fitted pipeline.
        requests: The requests in external ids, as they came.
        queries: The same as one batch of contiguous indices.
        k: Slots.
        generator: Seeded from the request; every random choice takes it.
        exclude: Items that the requests themselves rule out, or None.
    """

    pipeline: Pipeline
    requests: Sequence[Query]
    queries: QueryBatch
    k: int
    generator: torch.Generator
    exclude: RaggedIndices | None = None


def run_stage(
    host: Host, name: str, context: C, core: Callable[[C], R], returns: tuple[type, ...]
) -> Any:
    """Run a stage through its plugins and check what came back.

    Args:
        host: The plugins.
        name: The stage.
        context: Given to every implementation.
        core: Core's own implementation, the last one.
        returns: What the stage may return.

    Raises:
        PluginError: A plugin returned something else, as a wrapper without ``return`` does.
    """
    result = host.call_stage(name, context, core)
    if not isinstance(result, returns):
        wanted = " or ".join(kind.__name__ for kind in returns)
        involved = [info.name for info in host.plugins() if name in info.hooks]
        raise PluginError(
            f"Stage {name!r} returned {type(result).__name__}, expected {wanted}. Plugins that "
            f"implement it: {', '.join(involved) or 'none'}. A wrapper must return what it yields "
            f"for: `result = yield` and then `return result`."
        )
    return result


def run_fit(host: Host, context: FitContext, core: Callable[[FitContext], FitLog]) -> FitLog:
    """Run the ``fit`` stage; plugins are told if it raises.

    Args:
        host: The plugins.
        context: Given to every implementation.
        core: Core's own implementation.

    Raises:
        PluginError: A plugin returned something else than the log of the fit.
    """
    try:
        log: FitLog = run_stage(host, "fit", context, core, (FitLog,))
    except BaseException as error:
        if is_rank_zero():
            try:
                host.notify("on_fit_error", context=context, error=error)
            except Exception as second:  # the fit's own error is the one to be seen
                error.add_note(f"on_fit_error of a plugin failed too: {second!r}")
        raise
    return log


def is_rank_zero() -> bool:
    """Return whether this process notifies and writes: rank zero, or the only one there is."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return True
    return distributed.get_rank() == 0
