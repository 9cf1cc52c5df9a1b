"""What must fit together inside one model; checked from specs, so torch is not imported."""

from __future__ import annotations

from collections.abc import Iterator

from rankloom.components import ComponentConfig, ComponentSpec
from rankloom.config.explain import Loc
from rankloom.config.models import RATING_ERRORS, ModelConfig, TaskConfig, TowerConfig
from rankloom.errors import did_you_mean
from rankloom.registry import Registry

__all__ = ["check_model"]

_Found = Iterator[tuple[Loc, str]]


def check_model(model: ModelConfig, loc: Loc, registry: Registry) -> _Found:
    """Yield what does not fit together in a model.

    Args:
        model: The model.
        loc: Where it stands.
        registry: Where its components are registered.
    """
    yield from _sides(model, loc, registry)
    yield from _reuse(model, loc, registry)
    for index, task in enumerate(model.tasks):
        yield from _task(task, model, (*loc, "tasks", index), registry)
    yield from _dims(model, loc, registry)
    yield from _equal_dims(model.items, (*loc, "items"), registry)
    yield from _equal_dims(model.queries, (*loc, "queries"), registry)
    yield from _monitor(model, loc, registry)


def _sides(model: ModelConfig, loc: Loc, registry: Registry) -> _Found:
    for name, encoder in model.items.encoders.items():
        spec = registry.of(encoder, "encoder")
        where = (*loc, "items", "encoders", name)
        if spec is not None and spec.side == "history":
            yield where, f"{encoder.type!r} encodes a query's history; move it to 'queries'."
        field = getattr(encoder, "field", None) or name
        if field == "history" or field.startswith(("user.", "context.", "query.")):
            yield where, f"an item has no field {field!r}; move the encoder to 'queries'."


def _reuse(model: ModelConfig, loc: Loc, registry: Registry) -> _Found:
    """An encoder that reuses (``component(..., reuses=True)``) names one of the item tower's."""
    there = list(model.items.encoders)
    for name, encoder in model.queries.encoders.items():
        spec = registry.of(encoder, "encoder")
        if spec is None or not spec.flags.get("reuses"):
            continue
        wanted = getattr(encoder, "encoder", None)
        if isinstance(wanted, str) and wanted not in there:
            yield (
                (*loc, "queries", "encoders", name, "encoder"),
                f"the item tower has no encoder {wanted!r}; it has {', '.join(there)}."
                f"{did_you_mean(wanted, there)}",
            )


def _task(task: TaskConfig, model: ModelConfig, loc: Loc, registry: Registry) -> _Found:
    objective = registry.of(task.objective, "objective")
    regime = None if objective is None else objective.flags.get("candidates")
    regime = getattr(task.objective, "candidates", regime)  # a setting goes before the spec
    if regime == "catalog":
        yield from _catalog(task, model, loc, registry)
    if task.sampler is not None and regime not in (None, "sampled"):
        yield (
            (*loc, "sampler"),
            f"objective {task.objective.type!r} samples no negatives; remove the sampler.",
        )


def _catalog(task: TaskConfig, model: ModelConfig, loc: Loc, registry: Registry) -> _Found:
    """A loss over the whole catalog needs a cheap scorer and item vectors that are cheap too."""
    scorer = task.scorer or model.scorer
    spec = registry.of(scorer, "scorer")
    name = task.objective.type
    if spec is not None and not (spec.inner_product or spec.flags.get("catalog")):
        yield (
            loc,
            f"objective {name!r} scores the whole catalog at every step, which scorer "
            f"{scorer.type!r} cannot; use an inner-product scorer such as 'dot', or an objective "
            f"with sampled negatives.",
        )
    for encoder_name, encoder in model.items.encoders.items():
        encoder_spec = registry.of(encoder, "encoder")
        trains = getattr(encoder, "tuning", "frozen") != "frozen"
        if encoder_spec is not None and encoder_spec.modality and trains:
            yield (
                loc,
                f"objective {name!r} encodes the whole catalog at every step, but the "
                f"{encoder_spec.modality} encoder {encoder_name!r} trains (minutes a step); set "
                f"its 'tuning: frozen', or use an objective with sampled negatives.",
            )


def _dims(model: ModelConfig, loc: Loc, registry: Registry) -> _Found:
    """An inner product needs both towers as wide as each other, where the config says how wide."""
    spec = registry.of(model.scorer, "scorer")
    items, queries = _width(model.items, registry), _width(model.queries, registry)
    if spec is None or not spec.inner_product or None in (items, queries):
        return
    if items != queries:
        yield (
            (*loc, "scorer"),
            f"{model.scorer.type!r} needs vectors of one width, but items have {items} and "
            f"queries {queries} dimensions; make the 'dim' of both towers equal.",
        )


def _equal_dims(tower: TowerConfig, loc: Loc, registry: Registry) -> _Found:
    """A fusion that adds encodings up needs them of one width, where the config says how wide."""
    spec = None if tower.fusion is None else registry.of(tower.fusion, "fusion")
    if spec is None or not spec.flags.get("equal_dims"):
        return
    dims = {name: getattr(encoder, "dim", None) for name, encoder in tower.encoders.items()}
    known = {name: dim for name, dim in dims.items() if isinstance(dim, int)}
    if len(set(known.values())) > 1:
        yield (
            (*loc, "fusion"),
            f"{spec.name!r} adds up encodings of one width, but they have "
            f"{', '.join(f'{name}: {dim}' for name, dim in known.items())}; make their 'dim' "
            f"equal, or use a fusion that maps them to one width.",
        )


def _width(tower: TowerConfig, registry: Registry) -> int | None:
    source: ComponentConfig | None = tower.fusion
    if source is None and len(tower.encoders) == 1:
        source = next(iter(tower.encoders.values()))
        spec = registry.of(source, "encoder")
        if spec is not None and spec.side == "history":
            return None  # as wide as the items unless it says otherwise
    dim = getattr(source, "dim", None)
    return dim if isinstance(dim, int) else None


def _monitor(model: ModelConfig, loc: Loc, registry: Registry) -> _Found:
    measure = model.training.monitor.partition("@")[0]
    metrics = {spec.name: spec for spec in registry.specs("metric")}
    names = [*metrics, *RATING_ERRORS]
    where = (*loc, "training", "monitor")
    needed = [] if measure not in metrics else _required(metrics[measure])
    if model.tasks and needed:
        yield (
            where,
            f"the measure {measure!r} cannot be watched: it needs {', '.join(needed)}, and a "
            f"monitor gives no settings.",
        )
    if model.tasks and measure not in names:
        yield (
            where,
            f"there is no measure {measure!r}; there are {', '.join(sorted(set(names)))}."
            f"{did_you_mean(measure, names)}",
        )


def _required(spec: ComponentSpec) -> list[str]:
    """Return the settings without a default, but for the name."""
    fields = spec.config.model_fields.items()
    return [name for name, field in fields if field.is_required() and name != "type"]
