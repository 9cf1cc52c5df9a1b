"""From a config to components."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from rankloom.components import ComponentConfig
from rankloom.config import ModelConfig, PipelineConfig, TaskConfig, TowerConfig
from rankloom.config.models import RATING_ERRORS
from rankloom.data.fields import FieldSpec, FieldType
from rankloom.data.tables import Table
from rankloom.errors import ConfigError, did_you_mean
from rankloom.pipeline.handle import ModelHandle
from rankloom.pipeline.item_table import ItemTable
from rankloom.pipeline.model import Model, TaskRuntime
from rankloom.pipeline.query_fields import QueryFields
from rankloom.pipeline.scorer_fields import ScorerFields
from rankloom.pipeline.tower import Tower
from rankloom.protocols import Build, Metric
from rankloom.registry import Registry

__all__ = ["Builder", "Parts", "leaves"]


@dataclass
class Parts:
    """Every component of one pipeline, built but not fitted.

    Attributes:
        models: By name.
        tables: Their item tables.
        handles: Models as scorers.
        query_fields: Raw fields of queries.
        scorer: The pipeline's.
        fallback: Serves whom the scorer cannot.
        rows: Scorers of the evaluation table by row name.
        policy: Decides.
        greedy: What evaluation decides with.
        guards: In config order.
        retriever: Or None.
        retriever_model: Whose vectors it searches.
        scorers: Every leaf scorer by key, for fitting and saving.
        composites: Scorers made of scorers, by key (calibrated after their parts).
        watched: The metric each model's ``training.monitor`` names; None for errors on ratings.
    """

    models: dict[str, Model]
    tables: dict[str, ItemTable]
    handles: dict[str, ModelHandle]
    query_fields: QueryFields
    scorer: Any = None
    fallback: Any = None
    rows: dict[str, Any] = field(default_factory=dict)
    policy: Any = None
    greedy: Any = None
    guards: list[Any] = field(default_factory=list)
    retriever: Any = None
    retriever_model: str = ""
    scorers: dict[str, Any] = field(default_factory=dict)
    composites: dict[str, Any] = field(default_factory=dict)
    watched: dict[str, Metric | None] = field(default_factory=dict)

    def inside(self, name: str) -> Iterator[tuple[str, Any]]:
        """Every component of a model, by a stable key."""
        model = self.models[name]
        for side, tower in (("items", model.items), ("queries", model.queries)):
            for key, encoder in tower.encoders.items():
                yield f"{name}.{side}.{key}", encoder
            if tower.fusion is not None:
                yield f"{name}.{side}:fusion", tower.fusion
        for key, scorer in model.scorers.items():
            yield f"{name}.scorer.{key}", scorer
        for key, fields in model.scorer_fields.items():
            for encoder_name, encoder in fields.encoders.items():
                yield f"{name}.scorer.{key}.{encoder_name}", encoder
        for task in model.tasks:
            yield f"{name}.task.{task.name}:objective", task.objective
            if task.sampler is not None:
                yield f"{name}.task.{task.name}:sampler", task.sampler

    def outside(self) -> Iterator[tuple[str, Any]]:
        """Every component that is in no model, by a stable key, parts before composites."""
        yield from self.scorers.items()
        yield from self.composites.items()
        if self.retriever is not None:
            yield "retriever", self.retriever
        yield "policy", self.policy
        for index, guard in enumerate(self.guards):
            yield f"guard.{index}", guard

    def components(self) -> Iterator[tuple[str, Any]]:
        """Every component of the pipeline, by a stable key."""
        for name in self.models:
            yield from self.inside(name)
        yield from self.outside()


def leaves(scorer: Any) -> Iterator[Any]:
    """Yield the scorers a scorer is made of, or itself."""
    children = getattr(scorer, "children", None)
    if isinstance(children, (list, tuple)):
        for child in children:
            yield from leaves(child)
    else:
        yield scorer


class Builder:
    """Builds the parts of a pipeline.

    Args:
        config: The pipeline.
        registry: Where components are looked up.
        items: The catalog (its fields and size).
        users: The user table.
        base_dir: Where relative paths start.
        cache_dir: Where embeddings are cached.
        sizes: Table sizes at fit time, when building for a bundle.
    """

    def __init__(
        self,
        config: PipelineConfig,
        registry: Registry,
        items: Table,
        users: Table,
        base_dir: Path,
        cache_dir: Path,
        sizes: tuple[int, int] | None = None,
    ) -> None:
        self.config = config
        self.registry = registry
        self.items = items
        self.users = users
        n_items, n_users = sizes or (len(items), len(users))
        self.base = Build(
            n_items=n_items,
            n_users=n_users,
            base_dir=base_dir,
            cache_dir=cache_dir,
            seed=config.seed,
            child=self._scorer_or_other,
            model=self._handle,
        )
        self._parts = Parts({}, {}, {}, QueryFields({}, {}))

    def build(self) -> Parts:
        """Build everything; parameters start from the config's seed."""
        torch.manual_seed(self.config.seed)
        parts = self._parts
        query_encoders: dict[str, Any] = {}
        query_fields: dict[str, str] = {}
        for name, model_config in self.config.models.items():
            model, item_fields, raw_fields = self._model(name, model_config)
            parts.models[name] = model
            parts.tables[name] = ItemTable(model, item_fields)
            parts.handles[name] = ModelHandle(model, parts.tables[name])
            watched = model_config.training.monitor.partition("@")[0]
            of_ratings = watched in RATING_ERRORS
            parts.watched[name] = None if of_ratings else self._named("metric", watched)
            for key, dotted in raw_fields.items():
                query_encoders[f"{name}.{key}"] = model.queries.encoders[key]
                query_fields[f"{name}.{key}"] = dotted
            for own in model.scorer_fields.values():
                for key in own.query_names:
                    query_encoders[f"{own.key}.{key}"] = own.encoders[key]
                    query_fields[f"{own.key}.{key}"] = own.fields[key]
        parts.query_fields = QueryFields(query_encoders, query_fields)
        assert self.config.scorer is not None  # filled in by the config
        parts.scorer = self._scorer(self.config.scorer)
        parts.fallback = self._scorer(self.config.fallback)
        parts.policy = self._other("policy", self.config.policy)
        parts.greedy = self._named("policy", "greedy")
        parts.guards = [self._other("guard", guard) for guard in self.config.guards]
        if self.config.retriever is not None:
            parts.retriever = self._other("retriever", self.config.retriever)
            wanted = getattr(self.config.retriever, "model", None)
            parts.retriever_model = wanted or next(iter(parts.models))
        self._rows()
        return parts

    def _rows(self) -> None:
        evaluation = self.config.evaluation
        if evaluation.baselines:
            for name in ("popularity", "ease", "markov"):
                self._parts.rows[name] = self._named("scorer", name)
        for name, scorer in evaluation.compare.items():
            self._parts.rows[name] = self._scorer(scorer)

    def _named(self, kind: str, name: str) -> Any:
        config = self.registry.get(kind, name).config(type=name)
        return self._scorer(config) if kind == "scorer" else self._other(kind, config)

    def _other(self, kind: str, config: ComponentConfig, build: Build | None = None) -> Any:
        return self.registry.build(kind, config, build or self.base)

    def _scorer_or_other(self, kind: str, config: ComponentConfig) -> Any:
        return self._scorer(config) if kind == "scorer" else self._other(kind, config)

    def _scorer(self, config: ComponentConfig) -> Any:
        """Build a pipeline-level scorer; the same settings are built, and fitted, once."""
        text = config.model_dump_json()
        key = f"{config.type}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        known = self._parts.scorers.get(key) or self._parts.composites.get(key)
        if known is not None:
            return known
        if getattr(config, "encoders", None):
            raise ConfigError(
                f"The scorer {config.type!r} reads raw fields ('encoders:'), and those are kept "
                "with a model. Put it under models.NAME.scorer, and let the pipeline's scorer be "
                "{type: model, name: NAME}."
            )
        scorer = self._other("scorer", config)
        if isinstance(getattr(scorer, "children", None), (list, tuple)):
            self._parts.composites[key] = scorer
        else:
            self._parts.scorers[key] = scorer
        return scorer

    def _handle(self, name: str | None, task: str | None) -> ModelHandle:
        models = self._parts.models
        chosen = name or next(iter(models), None)
        if chosen is None or chosen not in models:
            raise ConfigError(
                f"A scorer refers to the model {chosen!r}.{did_you_mean(chosen or '', models)} "
                f"Models of this pipeline: {', '.join(models) or 'none'}."
            )
        if task is None:
            return self._parts.handles[chosen]
        return ModelHandle(models[chosen], self._parts.tables[chosen], task)

    def _model(
        self, name: str, config: ModelConfig
    ) -> tuple[Model, dict[str, str], dict[str, str]]:
        item_encoders, item_fields = self._encoders(name, "items", config.items, {})
        items = Tower(item_encoders, self._fusion(config.items, item_encoders))
        query_encoders, query_fields = self._encoders(
            name, "queries", config.queries, item_encoders, items.dim
        )
        queries = Tower(query_encoders, self._fusion(config.queries, query_encoders))
        history = tuple(k for k, dotted in query_fields.items() if dotted == "history")
        causal = [self.registry.get("encoder", config.queries.encoders[k].type) for k in history]
        dims = {"query": queries.dim or items.dim, "items": items.dim}
        build = replace(self.base, dims=dims)
        scorers = {"model": self._other("scorer", config.scorer, build)}
        tasks = [self._task(task, scorers, build) for task in config.tasks]
        configs = {"model": config.scorer}
        configs |= {task.name: task.scorer for task in config.tasks if task.scorer is not None}
        scorer_fields = {
            key: fields
            for key, scorer in configs.items()
            if (fields := self._scorer_fields(name, key, scorer)) is not None
        }
        needs = {self.registry.get("scorer", scorer.type).needs for scorer in configs.values()}
        items.tokens = queries.tokens = "tokens" in needs
        model = Model(
            name,
            items,
            queries,
            scorers,
            tasks,
            history,
            # Who reads tokens or raw histories needs each query's own: it trains on pairs.
            bool(history)
            and all(spec.causal for spec in causal)
            and not (items.tokens or scorer_fields)
            and getattr(queries.fusion, "needs", "vectors") != "tokens",
            scorer_fields,
        )
        raw = {key: dotted for key, dotted in query_fields.items() if dotted != "history"}
        return model, item_fields, raw

    def _task(self, task: TaskConfig, scorers: dict[str, Any], build: Build) -> TaskRuntime:
        key = "model"
        if task.scorer is not None:
            key = task.name
            scorers[key] = self._other("scorer", task.scorer, build)
        objective = self._other("objective", task.objective, build)
        sampler = None if task.sampler is None else self._other("sampler", task.sampler, build)
        if sampler is None and objective.candidates == "sampled":
            sampler = self._named("sampler", "uniform")
        return TaskRuntime(task.name, objective, key, task.weight, sampler, task.negatives)

    def _scorer_fields(self, model: str, key: str, config: ComponentConfig) -> ScorerFields | None:
        """Build the encoders that a model's scorer declares for itself."""
        declared = getattr(config, "encoders", None)
        if not declared:
            return None
        encoders: dict[str, Any] = {}
        fields: dict[str, str] = {}
        for name, encoder in declared.items():
            where = f"models.{model}.scorer.encoders"
            dotted = getattr(encoder, "field", None) or name
            side = "queries" if dotted.startswith(("user.", "query.", "context.")) else "items"
            built, own = self._encoders_of(where, side, {name: encoder}, {})
            encoders |= built
            fields |= own
        return ScorerFields(f"{model}.scorer.{key}", encoders, fields)

    def _fusion(self, tower: TowerConfig, encoders: dict[str, Any]) -> Any | None:
        if not encoders:
            return None
        dims = {name: encoder.dim for name, encoder in encoders.items()}
        build = replace(self.base, dims=dims)
        if tower.fusion is not None:
            return self._other("fusion", tower.fusion, build)
        if len(encoders) == 1:
            return None
        concat = self.registry.get("fusion", "concat").config(type="concat")
        return self._other("fusion", concat, build)

    def _encoders(
        self,
        model: str,
        side: str,
        tower: TowerConfig,
        item_encoders: dict[str, Any],
        item_dim: int = 0,
    ) -> tuple[dict[str, Any], dict[str, str]]:
        where = f"models.{model}.{side}.encoders"
        return self._encoders_of(where, side, tower.encoders, item_encoders, item_dim)

    def _encoders_of(
        self,
        section: str,
        side: str,
        configs: Mapping[str, ComponentConfig],
        item_encoders: dict[str, Any],
        item_dim: int = 0,
    ) -> tuple[dict[str, Any], dict[str, str]]:
        encoders: dict[str, Any] = {}
        fields: dict[str, str] = {}
        for name, config in configs.items():
            spec = self.registry.get("encoder", config.type)
            where = f"{section}.{name}"
            dotted = self._field(where, side, name, config, spec.side)
            fields[name] = dotted
            if spec.side == "history":
                build = replace(self.base, dims={"items": item_dim})
            elif dotted.startswith("query.") or dotted.startswith("context."):
                kind: FieldType = "text" if dotted == "query.text" else "category"
                build = replace(self.base, field=FieldSpec(dotted, kind))
            else:
                table = self.items if dotted.startswith("item.") else self.users
                build = replace(self.base, field=table.field(dotted))
            encoder = self.registry.build("encoder", config, build)
            if spec.flags.get("reuses"):
                encoder.bind(self._reused(where, config, item_encoders))
            encoders[name] = encoder
        return encoders, fields

    def _reused(self, where: str, config: ComponentConfig, encoders: dict[str, Any]) -> Any:
        wanted = getattr(config, "encoder", "")
        if wanted not in encoders:
            raise ConfigError(
                f"{where}: no item encoder {wanted!r} to reuse.{did_you_mean(wanted, encoders)} "
                f"Item encoders: {', '.join(encoders) or 'none'}."
            )
        return encoders[wanted]

    def _field(self, where: str, side: str, name: str, config: Any, spec_side: str) -> str:
        written = getattr(config, "field", None) or name
        if spec_side == "history":
            return "history"
        if "." not in written:
            written = f"{'item' if side == 'items' else 'user'}.{written}"
        head = written.partition(".")[0]
        allowed = ("item",) if side == "items" else ("user", "query", "context")
        if head not in allowed:
            raise ConfigError(
                f"{where}: the field {written!r} cannot be read on this side; "
                f"it must start with {' or '.join(a + '.' for a in allowed)}"
            )
        if head in ("item", "user"):
            table = self.items if head == "item" else self.users
            short = written.partition(".")[2]
            if short != "id" and short not in table.fields:
                known = ["id", *table.fields]
                raise ConfigError(
                    f"{where}: the {head} table has no field {short!r}."
                    f"{did_you_mean(short, known)} Fields: {', '.join(known)}."
                )
        return written
