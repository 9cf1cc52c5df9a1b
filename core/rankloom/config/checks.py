"""What must fit together in a pipeline; checked from specs, so torch is not imported.

Every check yields ``(location, message)``.
"""

from __future__ import annotations

from collections.abc import Iterator

from rankloom.config.explain import Loc
from rankloom.config.model_checks import check_model
from rankloom.config.pipeline import PipelineConfig
from rankloom.config.trainer_keys import check_trainer_keys
from rankloom.config.walk import components
from rankloom.errors import ConfigError, did_you_mean
from rankloom.registry import Registry

__all__ = ["check"]

_Found = Iterator[tuple[Loc, str]]


def check(config: PipelineConfig, registry: Registry) -> list[tuple[Loc, str]]:
    """Return everything that does not fit together, with its location.

    Args:
        config: A config whose sections are valid.
        registry: Where its components are registered.
    """
    found = [*_extras(config, registry), *_model_scorers(config, registry)]
    found += [*_model_users(config, registry)]
    found += [(("trainer", key), why) for key, why in check_trainer_keys(config.trainer)]
    for name, model in config.models.items():
        found += check_model(model, ("models", name), registry)
    return found


def _extras(config: PipelineConfig, registry: Registry) -> _Found:
    for loc, component in components(config):
        spec = registry.of(component)
        if spec is not None:
            try:
                registry.check_extras(spec)
            except ConfigError as error:
                yield loc, str(error)


def _model_scorers(config: PipelineConfig, registry: Registry) -> _Found:
    """``{type: model, name: m, task: t}`` must name a model and one of its tasks."""
    for loc, component in components(config):
        if component.type != "model" or registry.of(component, "scorer") is None:
            continue
        name = getattr(component, "name", None)
        problem = _which_model(config, name)
        if problem:
            yield (*loc, "name") if name else loc, problem
            continue
        model = config.models[name or next(iter(config.models))]
        task = getattr(component, "task", None)
        tasks = [one.name for one in model.tasks]
        if task is not None and task not in tasks:
            there = f"its tasks: {', '.join(tasks)}" if tasks else "it has no tasks"
            yield (
                (*loc, "task"),
                f"the model has no task {task!r}; {there}.{did_you_mean(task, tasks)}",
            )


def _model_users(config: PipelineConfig, registry: Registry) -> _Found:
    """What reads a model's vectors must name one in its field ``model``."""
    for loc, component in components(config):
        spec = next(
            (
                spec
                for kind in ("retriever", "guard", "policy", "scorer")
                if (spec := registry.of(component, kind))
            ),
            None,
        )
        if spec is not None and spec.kind == "scorer" and not spec.flags.get("of_model"):
            continue  # 'model' of a scorer may be a language model
        if spec is None or "model" not in type(component).model_fields:
            continue
        name = getattr(component, "model", None)
        if name is None and spec.kind not in ("retriever", "scorer"):
            continue  # the retriever's model, or none
        problem = _which_model(config, name)
        if problem:
            yield (*loc, "model") if name else loc, problem
        elif spec.kind == "retriever":
            yield from _inner_product(config, name or next(iter(config.models)), loc, registry)


def _inner_product(config: PipelineConfig, name: str, loc: Loc, registry: Registry) -> _Found:
    scorer = config.models[name].scorer
    spec = registry.of(scorer, "scorer")
    if spec is not None and not spec.inner_product:
        yield (
            loc,
            f"a retriever searches by inner product, but model {name!r} is scored by "
            f"{scorer.type!r}, which is none. Let it retrieve for a model with an inner-product "
            f"scorer such as 'dot', or leave the retriever out.",
        )


def _which_model(config: PipelineConfig, name: str | None) -> str | None:
    names = list(config.models)
    if name is not None:
        if name in names:
            return None
        there = f"models: {', '.join(names)}" if names else "the pipeline has no models"
        return f"there is no model {name!r}; {there}.{did_you_mean(name, names)}"
    if not names:
        return "the pipeline has no model; add one under 'models:'."
    if len(names) > 1:
        return f"which model? There are several: {', '.join(names)}."
    return None
