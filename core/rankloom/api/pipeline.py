"""The pipeline: everything, built from one config."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankloom.api import answering, bundle, fit_run, growing, neighbours, restoring, showing
from rankloom.api.evaluating import judge_of
from rankloom.api.fitting import FitLog
from rankloom.api.loading import load_dataset, make_split
from rankloom.api.progress import Tell, bars
from rankloom.api.query import Query
from rankloom.api.slate import Slate
from rankloom.api.stages import EvaluateContext, FitContext, is_rank_zero, run_stage
from rankloom.config import PipelineConfig, expand, load_config
from rankloom.data.cache import EmbeddingCache
from rankloom.data.dataset import Dataset, SplitResult
from rankloom.errors import NotFittedError, QueryError
from rankloom.evaluation.report import EvaluationReport
from rankloom.host import Host, get_host
from rankloom.pipeline.builder import Builder, Parts
from rankloom.registry import Registry, default_registry

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Pipeline"]


class Pipeline:
    """A recommender: data, models, scorer, guards and policy in one object.

    Args:
        config: The checked config.
        base_dir: Where relative paths in it start; default: the current folder.
        registry: Where components and stage hooks are looked up; default: all installed plugins.
    """

    def __init__(
        self,
        config: PipelineConfig,
        base_dir: str | Path | None = None,
        registry: Registry | None = None,
    ) -> None:
        self.config = config
        self.base_dir = Path(base_dir or "").resolve()
        self.registry = registry or default_registry()
        self.cache_dir = self.base_dir / ".rankloom" / "cache"
        self.dataset: Dataset | None = None
        self.split: SplitResult | None = None
        self.parts: Parts | None = None
        self.log = FitLog()
        self._own_host = None if registry is None else registry.host
        self._answers: answering.Answers | None = None
        self._sizes: tuple[int, int] = (0, 0)

    @classmethod
    def from_config(
        cls,
        config: str | Path | Mapping[str, Any] | PipelineConfig,
        *,
        overrides: Sequence[str] = (),
        base_dir: str | Path | None = None,
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
        tell: Tell | None = None,
    ) -> Pipeline:
        """Load, split, prepare, fit, train and calibrate.

        Args:
            interactions: Data frame (polars or pandas) instead of the source's files.
            items: Data frame of the catalog.
            users: Data frame of the users.
            run_dir: Gets config.yaml, log.jsonl, metrics.json, checkpoints and bundle/.
            progress: Show bars on a terminal or in a notebook.
            dry_run: 1 % of the users and of the other items, one epoch, every stage.
            resume: Continue interrupted training found in ``run_dir``.
            initial: A bundle whose weights training starts from.
            tell: Told (what, steps done, of) instead of bars.

        Returns:
            The pipeline itself.

        Raises:
            ConfigError: A component cannot be built, or frames were given where none are read.
            DataError: The data is wrong, or ``items`` or ``users`` came without ``interactions``.
            BundleError: ``initial`` is no bundle.
        """
        started = time.perf_counter()
        directory = None if run_dir is None else Path(run_dir)
        weights = None if initial is None else restoring.read_weights(Path(initial))
        options = fit_run.Options(progress, tell, dry_run, resume, weights)
        frames = {"interactions": interactions, "items": items, "users": users}
        share = 0.01 if dry_run else 1.0
        dataset = load_dataset(self.config, self.registry, self.base_dir, frames, share)
        split = make_split(self.config, self.registry, dataset)
        self.dataset, self.split, self._answers = dataset, split, None
        parts = self._build(dataset)
        answering.text_field(self.config, dataset, parts)  # rather refused now than after the fit
        context = FitContext(self, dataset, split, directory, dry_run)
        self.log = fit_run.fit(context, self._host, parts, options)
        self._answers = answering.Answers(self.config, dataset, parts)
        if is_rank_zero():
            self._host.notify("after_fit_completed", context=context, result=self.log)
            if directory is not None:
                seconds = time.perf_counter() - started
                fit_run.write_run(directory, self.config, seconds, self.log)
                self.save(directory / "bundle")
        return self

    def _build(self, dataset: Dataset, sizes: tuple[int, int] | None = None) -> Parts:
        self._sizes = sizes or (len(dataset.items), len(dataset.users))
        builder = Builder(
            self.config,
            self.registry,
            dataset.items,
            dataset.users,
            self.base_dir,
            self.cache_dir,
            self._sizes,
        )
        self.parts = builder.build()
        return self.parts

    @property
    def _host(self) -> Host:
        """The plugins whose hooks are called; those registered later count too."""
        return self._own_host or get_host()

    def _fitted(self) -> tuple[Dataset, Parts, answering.Answers]:
        if self.dataset is None or self.parts is None or self._answers is None:
            raise NotFittedError(
                "This pipeline is not fitted. Call .fit() first, or Pipeline.load(dir)."
            )
        return self.dataset, self.parts, self._answers

    # -- evaluate ----------------------------------------------------------------------------

    def evaluate(
        self, *, phase: str = "test", progress: bool = True, tell: Tell | None = None
    ) -> EvaluationReport:
        """Judge the pipeline and its baselines under the split's protocol.

        Args:
            phase: ``"test"`` or ``"validation"``.
            progress: Show bars on a terminal or in a notebook.
            tell: Told (row, queries done, of) instead of bars.

        Raises:
            NotFittedError: Before ``fit``.
            QueryError: There is no such phase.
        """
        dataset, parts, answers = self._fitted()
        if phase not in ("test", "validation"):
            raise QueryError(f"phase is 'test' or 'validation', got {phase!r}.")
        if self.split is None:
            self.split = make_split(self.config, self.registry, dataset)
        judge = judge_of(self.config, self.registry, parts, answers.engine, dataset, self.split)
        judge.seconds = self.log.seconds
        context = EvaluateContext(self, self.split, phase, judge.metrics)
        with bars(progress, tell) as told:
            report: EvaluationReport = run_stage(
                self._host,
                "evaluate",
                context,
                lambda given: judge.report(given.phase, told),
                (EvaluationReport,),
            )
        return report

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
            NotFittedError: Before ``fit``.
            QueryError: An id is unknown, or k is below 1.
        """
        dataset, _, answers = self._fitted()
        query = Query(user, history, append_history, text, fields or {}, k, exclude)
        result = answers.answer(self, self._host, [query], k, request_id)
        return answering.slate_of(dataset, result, 0)

    def recommend_all(
        self,
        users: Sequence[object] | None = None,
        k: int = 10,
        *,
        block: int = 512,
        progress: bool = True,
        tell: Tell | None = None,
    ) -> pl.DataFrame:
        """Recommend to many users.

        Args:
            users: Their ids; None for all.
            k: Slots.
            block: Users at a time.
            progress: Show a bar on a terminal or in a notebook.
            tell: Told ("users", done, of) instead of a bar.

        Returns:
            Columns user, rank, item, score, log_prob.

        Raises:
            NotFittedError: Before ``fit``.
            QueryError: A user is unknown, or k is below 1.
        """
        dataset, _, answers = self._fitted()
        wanted = list(dataset.users.ids.ids if users is None else users)
        with bars(progress, tell) as told:
            blocks = answers.blocks(self, self._host, wanted, k, block, told)
            return answering.frame_of(dataset, blocks)

    def similar(self, item: object, k: int = 10, *, model: str | None = None) -> Slate:
        """Return the items nearest to one by the cosine of a model's item vectors.

        Args:
            item: Its id.
            k: How many.
            model: Whose vectors; default the first model's.

        Raises:
            QueryError: Unknown item, or no model has vectors.
        """
        dataset, parts, _ = self._fitted()
        return neighbours.similar_items(dataset.items, parts, item, k, model)

    def text_similarity(self, text: str, k: int = 10) -> Slate:
        """Zero-shot search: cosine of a frozen text encoder's vectors, nothing trained.

        Raises:
            QueryError: No item encoder reads text.
        """
        dataset, parts, answers = self._fitted()
        return neighbours.similar_to_text(dataset.items, parts, answers.text_as, text, k)

    # -- grow, keep, show --------------------------------------------------------------------

    def add_items(self, items: Any) -> None:
        """Add items to a fitted pipeline; they can be recommended at once.

        Args:
            items: Data frame (polars or pandas) with a column ``id`` (or ``item``) and item fields.

        Raises:
            DataError: An id is there already, or a column is no item field.
        """
        dataset, parts, _ = self._fitted()
        cache = EmbeddingCache(self.cache_dir)
        self.dataset = growing.add_items(dataset, parts, items, cache)
        self.split = None
        self._answers = answering.Answers(self.config, self.dataset, parts)

    def save(self, directory: str | Path) -> Path:
        """Write a bundle: safetensors, JSON, YAML and Parquet, atomically."""
        dataset, parts, _ = self._fitted()
        manifest = bundle.manifest_of(self.config, self._sizes, self.log, self.registry)
        bundle.write(Path(directory), expand(self.config), dataset, parts, manifest)
        return Path(directory)

    @classmethod
    def load(cls, directory: str | Path, base_dir: str | Path | None = None) -> Pipeline:
        """Read a bundle; it answers on the CPU whatever it was fitted on.

        The data is inside, so neither ``recommend`` nor ``evaluate`` reads the source again.

        Args:
            directory: The bundle.
            base_dir: Where relative paths in its config start (a directory of model weights);
                default: the current folder.

        Raises:
            BundleError: No bundle there, one of another format, or a damaged one.
            ConfigError: Weights that the config names are not there.
        """
        path = Path(directory)
        manifest = restoring.read_manifest(path)
        restoring.check_plugins(path, manifest, get_host())
        pipeline = cls(restoring.read_config(path), base_dir)
        dataset = pipeline.dataset = restoring.read_dataset(path)
        parts = pipeline._build(dataset, manifest.sizes)
        restoring.read_parts(path, parts)
        cache = EmbeddingCache(pipeline.cache_dir)
        parts.query_fields.load(dataset.users, cache)
        for model in parts.models.values():
            for fields in model.scorer_fields.values():
                fields.load(dataset.items, cache)
        pipeline.log = manifest.log
        pipeline._answers = answering.Answers(pipeline.config, dataset, parts)
        return pipeline

    def describe(self) -> dict[str, Any]:
        """Return what the pipeline consists of."""
        return showing.describe(self.config, self.dataset, self._answers is not None)

    def __repr__(self) -> str:
        return f"Pipeline({self.describe()})"

    def _repr_html_(self) -> str:
        return showing.as_html(self.describe())
