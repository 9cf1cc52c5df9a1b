"""The pipeline: everything, built from one config."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import torch

import rankloom
from rankloom.api.bundle import read_dataset, read_manifest, read_parts, read_weights, write_bundle
from rankloom.api.evaluating import Judge
from rankloom.api.fitting import FitLog, Fitter
from rankloom.api.loading import load_dataset, make_split
from rankloom.api.query import Query, QueryResolver
from rankloom.api.slate import Slate
from rankloom.config import PipelineConfig, expand, load_config
from rankloom.data.cache import EmbeddingCache
from rankloom.data.dataset import Dataset, SplitResult
from rankloom.data.histories import HistoryStore
from rankloom.errors import ConfigError, NotFittedError, QueryError
from rankloom.evaluation.report import EvaluationReport
from rankloom.pipeline.builder import Builder, Parts
from rankloom.pipeline.engine import Engine, Outcome
from rankloom.protocols import Build
from rankloom.registry import Registry, default_registry

if TYPE_CHECKING:
    from rankloom.pipeline.item_table import Progress

__all__ = ["Pipeline"]


class Pipeline:
    """A recommender: data, models, scorer, guards and policy in one object.

    Args:
        config: The checked config.
        base_dir: Where relative paths in it start.
        registry: Where components are looked up; default: all installed plugins.
    """

    def __init__(
        self,
        config: PipelineConfig,
        base_dir: Path | None = None,
        registry: Registry | None = None,
    ) -> None:
        self.config = config
        self.base_dir = (base_dir or Path()).resolve()
        self.registry = registry or default_registry()
        self.cache_dir = self.base_dir / ".rankloom" / "cache"
        self.dataset: Dataset | None = None
        self.split: SplitResult | None = None
        self.parts: Parts | None = None
        self.engine: Engine | None = None
        self.log = FitLog()
        self.seconds: dict[str, float] = {}
        self._resolver: QueryResolver | None = None
        self._sizes: tuple[int, int] = (0, 0)
        self._requests = 0

    @classmethod
    def from_config(
        cls,
        config: str | Path | Mapping[str, Any] | PipelineConfig,
        *,
        overrides: Sequence[str] = (),
        base_dir: Path | None = None,
    ) -> Pipeline:
        """Build from a YAML file, a mapping or a typed config.

        Args:
            config: Path, mapping or :class:`~rankloom.config.PipelineConfig`.
            overrides: ``"a.b=c"`` settings.
            base_dir: Where relative paths start; default: the file's folder.

        Raises:
            ConfigError: The config is wrong; the message names file, line and path.
        """
        if isinstance(config, PipelineConfig):
            return cls(config, base_dir)
        if base_dir is None and not isinstance(config, Mapping):
            base_dir = Path(config).parent
        return cls(load_config(config, overrides=tuple(overrides)), base_dir)

    # -- fit ---------------------------------------------------------------------------------

    def fit(
        self,
        interactions: Any = None,
        items: Any = None,
        users: Any = None,
        *,
        run_dir: str | Path | None = None,
        progress: bool = True,
        dry_run: bool = False,
        resume: bool = True,
        initial: str | Path | None = None,
        report: Progress | None = None,
    ) -> Pipeline:
        """Load, split, prepare, fit, train and calibrate.

        Args:
            interactions: Data frame (polars or pandas) instead of the source's files.
            items: Data frame of the catalog.
            users: Data frame of the users.
            run_dir: Gets config.yaml, log.jsonl, metrics.json, checkpoints and bundle/.
            progress: Show bars.
            dry_run: 1 % of the users, one epoch, every stage.
            resume: Continue interrupted training found in ``run_dir``.
            initial: A bundle whose weights training starts from.
            report: Told about encoding (encoder, done, total).

        Returns:
            The pipeline itself.
        """
        started = time.perf_counter()
        frames = None
        if interactions is not None:
            frames = {"interactions": interactions, "items": items, "users": users}
        directory = None if run_dir is None else Path(run_dir)
        config_text = expand(self.config)
        self.dataset = load_dataset(
            self.config, self.registry, self.base_dir, frames, 0.01 if dry_run else 1.0
        )
        self.split = make_split(self.config, self.registry, self.dataset)
        self._build()
        assert self.parts is not None
        checkpoints = self._checkpoints(directory, config_text)
        fitter = Fitter(
            self.config,
            self.parts,
            self.dataset,
            self.split,
            EmbeddingCache(self.cache_dir),
            checkpoints,
            progress=progress,
            report=report,
            resume=resume and directory is not None,
            dry_run=dry_run,
            initial=None if initial is None else read_weights(Path(initial)),
        )
        self.log = fitter.fit()
        self.seconds = dict(self.log.seconds)
        self._serve()
        if directory is not None:
            self._write_run(directory, config_text, time.perf_counter() - started)
        return self

    def _checkpoints(self, directory: Path | None, config_text: str) -> Path:
        """A folder of checkpoints for exactly this config and data."""
        assert self.dataset is not None
        events = self.dataset.interactions
        key = f"{config_text}|{len(events)}|{int(events.items.sum())}|{int(events.users.sum())}"
        name = hashlib.sha256(key.encode()).hexdigest()[:12]
        root = directory if directory is not None else self.cache_dir.parent / "checkpoints"
        return root / "checkpoints" / name if directory is not None else root / name

    def _build(self, sizes: tuple[int, int] | None = None) -> None:
        assert self.dataset is not None
        self._sizes = sizes or (len(self.dataset.items), len(self.dataset.users))
        builder = Builder(
            self.config,
            self.registry,
            self.dataset.items,
            self.dataset.users,
            self.base_dir,
            self.cache_dir,
            self._sizes,
        )
        self.parts = builder.build()

    def _serve(self) -> None:
        """Make the engine and the stored histories after a fit, a load or an addition."""
        dataset, parts = self._fitted()
        handle = parts.handles.get(parts.retriever_model)
        if parts.retriever is not None and handle is not None:
            vectors = handle.table.vectors.masked_fill(~handle.table.present[:, None], torch.nan)
            parts.retriever.refresh(vectors, None)
        self.engine = Engine(
            parts.scorer,
            parts.fallback,
            parts.policy,
            parts.guards,
            torch.ones(len(dataset.items), dtype=torch.bool),
            parts.retriever,
            handle,
            getattr(self.config.retriever, "k", 200),
            dict(parts.handles),
        )
        events = dataset.interactions
        self._resolver = QueryResolver(
            dataset.items,
            dataset.users,
            HistoryStore(events.select(dataset.positive), len(dataset.users)),
            HistoryStore(events, len(dataset.users)),
            parts,
            self._text_as(parts),
        )

    def _text_as(self, parts: Parts) -> str | None:
        if self.config.text_as is not None:
            return self.config.text_as.removeprefix("item.")
        dataset = self.dataset
        assert dataset is not None
        read = {
            field.removeprefix("item.")
            for t in parts.tables.values()
            for field in t.fields.values()
        }
        texts = sorted(
            f for f in read if f in dataset.items.fields and dataset.items.fields[f].type == "text"
        )
        if len(texts) > 1:
            raise ConfigError(
                f"text_as: item encoders read several text fields ({', '.join(texts)}); say which "
                f"one free text stands for, for example `text_as: {texts[0]}`."
            )
        return texts[0] if texts else None

    def _fitted(self) -> tuple[Dataset, Parts]:
        if self.dataset is None or self.parts is None:
            raise NotFittedError(
                "This pipeline is not fitted. Call .fit() first, or Pipeline.load(dir)."
            )
        return self.dataset, self.parts

    # -- evaluate ----------------------------------------------------------------------------

    def evaluate(
        self,
        *,
        phase: str = "test",
        progress: bool = False,
        tell: Callable[[str, int, int], None] | None = None,
    ) -> EvaluationReport:
        """Judge the pipeline and its baselines under the split's protocol.

        Args:
            phase: ``"test"`` or ``"validation"``.
            progress: Unused by the API itself; commands pass ``tell``.
            tell: Told (row, queries done, of).
        """
        dataset, parts = self._fitted()
        assert self.engine is not None
        if self.split is None:
            self.split = make_split(self.config, self.registry, dataset)
        metrics = [
            self.registry.build("metric", metric, Build())
            for metric in self.config.evaluation.metrics
        ]
        judge = Judge(self.config, parts, self.engine, dataset, self.split, metrics, self.seconds)
        return judge.report(phase, tell)

    # -- recommend ---------------------------------------------------------------------------

    def recommend(
        self,
        user: object | None = None,
        *,
        history: Sequence[object] | None = None,
        append_history: Sequence[object] = (),
        text: str | None = None,
        fields: Mapping[str, Any] | None = None,
        k: int = 10,
        exclude: Sequence[object] = (),
        request_id: str | None = None,
    ) -> Slate:
        """Recommend to one user.

        Args:
            user: A known user's id; None for somebody new.
            history: Item ids, oldest first; replaces the stored history.
            append_history: Item ids added to it.
            text: Free text; stands for an item of which only the text is known.
            fields: Query fields by dotted name.
            k: Slots; fewer come back when fewer items are allowed.
            exclude: Item ids that must not be shown.
            request_id: Seeds the policy's choices; the same id gives the same slate.

        Raises:
            QueryError: An id is unknown, or k is below 1.
        """
        query = Query(user, history, append_history, text, fields or {}, k, exclude)
        outcome = self._run([query], k, request_id)
        return self._slate(outcome, 0)

    def recommend_all(
        self,
        users: Sequence[object] | None = None,
        k: int = 10,
        *,
        block: int = 512,
        tell: Callable[[int, int], None] | None = None,
    ) -> pl.DataFrame:
        """Recommend to many users.

        Args:
            users: Their ids; None for all.
            k: Slots.
            block: Users at a time.
            tell: Told (done, of).

        Returns:
            Columns user, rank, item, score, log_prob.
        """
        dataset, _ = self._fitted()
        wanted = list(dataset.users.ids.ids if users is None else users)
        frames = []
        for start in range(0, len(wanted), block):
            part = wanted[start : start + block]
            slates = self._run([Query(user) for user in part], k, None).slates
            width = slates.items.shape[1]
            shown = slates.items.reshape(-1)
            keep = shown >= 0
            frames.append(
                pl.DataFrame(
                    {
                        "user": [str(user) for user in part for _ in range(width)],
                        "rank": list(range(1, width + 1)) * len(part),
                        "index": shown.tolist(),
                        "score": slates.scores.reshape(-1).tolist(),
                        "log_prob": slates.log_probs.reshape(-1).tolist(),
                    }
                ).filter(pl.Series(keep.tolist()))
            )
            if tell is not None:
                tell(min(start + block, len(wanted)), len(wanted))
        joined = pl.concat(frames) if frames else pl.DataFrame({"index": []})
        items = pl.Series("item", dataset.items.ids.external(joined["index"].to_list()))
        return joined.with_columns(items).select("user", "rank", "item", "score", "log_prob")

    def _run(self, queries: Sequence[Query], k: int, request_id: str | None) -> Outcome:
        self._fitted()
        assert self._resolver is not None
        assert self.engine is not None
        if k < 1:
            raise QueryError(f"k must be at least 1, got {k}.")
        batch = self._resolver.resolve(queries)
        if request_id is None:
            self._requests += 1
            request_id = f"request-{self._requests}"
        digest = hashlib.sha256(f"{self.config.seed}|{request_id}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        with torch.inference_mode():
            ruled_out = self._resolver.exclusions(queries)
            return self.engine.run(batch, k, generator, also_exclude=ruled_out)

    def _slate(self, outcome: Outcome, row: int) -> Slate:
        dataset, _ = self._fitted()
        slates = outcome.slates
        trace = {
            "fallback": bool(outcome.fallback[row]),
            "excluded": int(outcome.excluded[row]),
            "candidates": outcome.scored.candidates.width,
        }
        return Slate.of(
            dataset.items,
            slates.items[row].tolist(),
            slates.scores[row].tolist(),
            slates.log_probs[row].tolist(),
            trace,
        )

    def similar(self, item: object, k: int = 10, *, model: str | None = None) -> Slate:
        """Return the items nearest to one by the cosine of a model's item vectors.

        Args:
            item: Its id.
            k: How many.
            model: Whose vectors; default the first model's.

        Raises:
            QueryError: Unknown item, or no model has vectors.
        """
        dataset, parts = self._fitted()
        index = dataset.items.ids.index(item)
        name = model or next(iter(parts.tables), None)
        if index < 0 or name is None or name not in parts.tables:
            what = f"Unknown item {item!r}." if index < 0 else f"No model {name!r} with vectors."
            raise QueryError(f"{what} Models: {', '.join(parts.tables) or 'none'}.")
        table = parts.tables[name]
        return self._nearest(table.vectors, table.present, table.vectors[index], k, index)

    def text_similarity(self, text: str, k: int = 10) -> Slate:
        """Zero-shot search: cosine of a frozen text encoder's vectors, nothing trained.

        Raises:
            QueryError: No item encoder reads text.
        """
        _, parts = self._fitted()
        assert self._resolver is not None
        field = self._resolver.text_as
        for table in parts.tables.values():
            for name, encoder in table.model.items.encoders.items():
                if table.fields[name].removeprefix("item.") == field:
                    features = encoder.precompute(encoder.collate([text]))
                    with torch.inference_mode():
                        wanted = encoder(features).vectors[0]
                        vectors = encoder(table.features[name]).vectors
                    return self._nearest(vectors, table.features[name].present, wanted, k, -1)
        raise QueryError("No item encoder of this pipeline reads text.")

    def _nearest(
        self, vectors: torch.Tensor, present: torch.Tensor, wanted: torch.Tensor, k: int, skip: int
    ) -> Slate:
        dataset, _ = self._fitted()
        normal = torch.nn.functional.normalize(vectors, dim=1)
        cosine = normal @ torch.nn.functional.normalize(wanted, dim=0)
        cosine = cosine.masked_fill(~present, -torch.inf)
        if skip >= 0:
            cosine[skip] = -torch.inf
        top = cosine.topk(min(k, len(cosine)))
        items = [
            i if s > -torch.inf else -1
            for i, s in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        ]
        return Slate.of(dataset.items, items, top.values.tolist(), [0.0] * len(items), {})

    # -- grow --------------------------------------------------------------------------------

    def add_items(self, items: Any) -> None:
        """Add items to a fitted pipeline; they can be recommended at once.

        Args:
            items: Data frame (polars or pandas) with a column ``id`` (or ``item``) and item fields.

        Raises:
            DataError: An id is there already, or a column is no item field.
        """
        dataset, parts = self._fitted()
        frame = items if isinstance(items, pl.DataFrame) else pl.from_pandas(items)
        key = "id" if "id" in frame.columns else "item"
        ids = frame[key].to_list()
        start = len(dataset.items)
        table = dataset.items.extended(ids, frame.drop(key))
        self.dataset = Dataset(
            table,
            dataset.users,
            dataset.interactions,
            dataset.positive,
            dataset.report,
            dataset.given_split,
            dataset.name,
        )
        rows = list(range(start, len(table)))
        for item_table in parts.tables.values():
            for encoder in item_table.model.items.encoders.values():
                if hasattr(encoder, "load"):
                    encoder.load()
            item_table.append(table, rows, EmbeddingCache(self.cache_dir))
        for scorer in [*parts.scorers.values(), *parts.composites.values()]:
            if hasattr(scorer, "extend"):
                scorer.extend(len(table))
        self.split = None
        self._serve()

    # -- keep --------------------------------------------------------------------------------

    def save(self, directory: str | Path) -> Path:
        """Write a bundle: safetensors, JSON, YAML and Parquet, atomically."""
        dataset, parts = self._fitted()
        path = Path(directory)
        manifest = {
            "rankloom": rankloom.__version__,
            "name": self.config.name,
            "sizes": self._sizes,
            "base_dir": str(self.base_dir),
            "fit": self.log.to_dict(),
            "seconds": self.seconds,
        }
        write_bundle(path, expand(self.config), dataset, parts, manifest)
        return path

    @classmethod
    def load(cls, directory: str | Path) -> Pipeline:
        """Read a bundle; it answers on the CPU whatever it was fitted on.

        Raises:
            BundleError: No bundle there, or one of another format.
        """
        path = Path(directory)
        manifest = read_manifest(path)
        pipeline = cls(load_config(path / "config.yaml"), Path(manifest["base_dir"]))
        pipeline.dataset = read_dataset(path)
        sizes = (int(manifest["sizes"][0]), int(manifest["sizes"][1]))
        pipeline._build(sizes)
        assert pipeline.parts is not None
        for model in pipeline.parts.models.values():
            for encoder in [*model.items.encoders.values(), *model.queries.encoders.values()]:
                if hasattr(encoder, "load"):
                    encoder.load()
        read_parts(path, pipeline.parts)
        pipeline.parts.query_fields.load(pipeline.dataset.users, EmbeddingCache(pipeline.cache_dir))
        pipeline.seconds = dict(manifest.get("seconds", {}))
        pipeline._serve()
        return pipeline

    def _write_run(self, directory: Path, config_text: str, seconds: float) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.yaml").write_text(config_text, encoding="utf-8")
        entry = {"event": "fit", "time": time.time(), "seconds": seconds, **self.log.to_dict()}
        with (directory / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        (directory / "metrics.json").write_text(json.dumps(entry, indent=1), encoding="utf-8")
        self.save(directory / "bundle")

    # -- show --------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """Return what the pipeline consists of."""
        config = self.config
        out: dict[str, Any] = {
            "name": config.name,
            "source": config.data.source.type if config.data.source else "data frames",
            "split": config.data.split.type,
            "models": {
                name: {
                    "items": {k: e.type for k, e in model.items.encoders.items()},
                    "queries": {k: e.type for k, e in model.queries.encoders.items()},
                    "tasks": [task.name for task in model.tasks],
                }
                for name, model in config.models.items()
            },
            "scorer": None if config.scorer is None else config.scorer.type,
            "policy": config.policy.type,
            "fitted": self.parts is not None,
        }
        if self.dataset is not None:
            out["items"], out["users"] = len(self.dataset.items), len(self.dataset.users)
        return out

    def __repr__(self) -> str:
        return f"Pipeline({self.describe()})"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{k}</th><td>{v}</td></tr>" for k, v in self.describe().items())
        return f"<table>{rows}</table>"
