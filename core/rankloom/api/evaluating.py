"""Judge what ``recommend`` does, under the split's protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from rankloom.api.slicing import judge_apart
from rankloom.config import PipelineConfig
from rankloom.data.dataset import Dataset, Phase, SplitResult
from rankloom.evaluation.compare import best_part, compare_results
from rankloom.evaluation.membership import is_member
from rankloom.evaluation.ranking import RankingAccumulator, RankingResult
from rankloom.evaluation.rating import RatingAccumulator, RatingResult
from rankloom.evaluation.report import EvaluationReport
from rankloom.pipeline.builder import Parts
from rankloom.pipeline.engine import Engine
from rankloom.pipeline.phases import PhaseQueries
from rankloom.protocols import Build, Metric
from rankloom.registry import Registry

__all__ = ["Judge", "judge_of"]

BASELINES = ("popularity", "ease", "markov")


class Judge:
    """Evaluates a fitted pipeline.

    Args:
        config: The pipeline.
        parts: Its components.
        engine: Its stages; only the scorer is replaced from row to row.
        dataset: The data.
        split: Its parts.
        metrics: Built metrics, in config order.
        seconds: Fit seconds by component key.

    Attributes:
        metrics: As given.
        seconds: As given.
        recall: Share of the targets that the retriever offered, in the row last judged with one.
    """

    def __init__(
        self,
        config: PipelineConfig,
        parts: Parts,
        engine: Engine,
        dataset: Dataset,
        split: SplitResult,
        metrics: list[Metric],
        seconds: Mapping[str, float] | None = None,
    ) -> None:
        self.config = config
        self.parts = parts
        self.engine = engine
        self.dataset = dataset
        self.split = split
        self.metrics = metrics
        self.seconds = seconds or {}
        self.recall = 1.0
        self.headline = f"{metrics[0].name}@{max(config.evaluation.k)}"

    def phase(self, name: str) -> Phase:
        """Return the ``test`` or the ``validation`` phase."""
        return self.split.test if name == "test" else self.split.validation

    def queries(self, phase: Phase) -> PhaseQueries:
        """Return a phase's queries; to make them sorts its rows."""
        return PhaseQueries(self.dataset, phase, self.parts.query_fields)

    def rank(
        self,
        scorer: Any,
        phase: Phase,
        tell: Callable[[int, int], None] | None = None,
        queries: PhaseQueries | None = None,
    ) -> RankingResult:
        """Judge one scorer on a phase, greedily, under the phase's exclusions.

        The pipeline's own scorer is judged as it serves, with guards and retriever; any other has
        neither, so that rows differ by their scorer alone.

        Args:
            scorer: What is judged.
            phase: On what.
            tell: Told (queries done, of).
            queries: :meth:`queries` of the phase, where several scorers are judged on it.
        """
        evaluation = self.config.evaluation
        n_items = len(self.dataset.items)
        accumulator = RankingAccumulator(self.metrics, evaluation.k, n_items)
        engine = self.engine
        if scorer is not self.parts.scorer:
            engine = replace(engine, scorer=scorer, guards=[], retriever=None)
        retrieved = torch.zeros(2, dtype=torch.long)
        queries = queries or self.queries(phase)
        generator = torch.Generator().manual_seed(self.config.seed)
        done = 0
        for batch, targets, _ in queries.blocks(evaluation.block_size):
            outcome = engine.run(
                batch,
                max(evaluation.k),
                generator,
                also_exclude=batch.seen,
                allowed=phase.candidates,
                policy=self.parts.greedy,
                observe=False,
            )
            accumulator.add(batch.users, outcome.slates.items, targets)
            if engine.retriever is not None:
                offered = outcome.scored.candidates
                items = offered.expand(len(batch)).masked_fill(~offered.allowed(len(batch)), -1)
                found = is_member(items, targets, n_items).sum()
                retrieved += torch.stack([found, torch.tensor(len(targets.values))])
            done += len(batch)
            if tell is not None:
                tell(done, len(queries))
        if engine.retriever is not None:
            self.recall = float(retrieved[0] / retrieved[1].clamp(min=1))
        return accumulator.result()

    def rate(self, phase: Phase) -> RatingResult | None:
        """Predict the values of a phase's rows, if a task of the pipeline learns values."""
        tasks = [task for model in self.parts.models.values() for task in model.tasks]
        if not any(task.objective.target == "rating" for task in tasks):
            return None
        low, high = self.dataset.value_range
        accumulator = RatingAccumulator()
        queries = self.queries(phase)
        for block in queries.ratings(4096):
            scores = self.parts.scorer.score(block.queries, block.candidates)
            accumulator.add(scores.values[:, 0].clamp(low, high), block.values)
        return accumulator.result()

    def report(
        self, phase_name: str, tell: Callable[[str, int, int], None] | None = None
    ) -> EvaluationReport:
        """Judge every row of the table and compare them in pairs."""
        phase = self.phase(phase_name)
        rows = self._rows()
        results: dict[str, RankingResult] = {}
        if bool(self.dataset.positive[phase.targets].any()):
            for name, scorer in rows.items():
                results[name] = self.rank(scorer, phase, _named(tell, name))
        ratings = self.rate(phase)
        resamples = self.config.evaluation.resamples
        data = {
            "users": len(self.dataset.users),
            "items": len(self.dataset.items),
            "interactions": len(self.dataset.interactions),
            "positives": int(self.dataset.positive.sum()),
            **{f"dropped: {k}": v for k, v in self.split.dropped.items()},
        }
        base = EvaluationReport(
            self.config.name,
            self.split.card,
            ratings=None if ratings is None else ratings.to_dict(resamples, self.config.seed),
            data=data,
            headline=self.headline,
            baselines=tuple(b for b in BASELINES if b in rows),
        )
        if not results:
            return base
        notes = self._notes(rows)  # before the validation phase is judged
        apart = judge_apart(self, phase_name, rows, tell)
        hybrid, best = self._hybrid(rows, tell)
        compared = compare_results(
            results,
            self.headline,
            hybrid=hybrid,
            best=best,
            fit_seconds={name: self._seconds(scorer) for name, scorer in rows.items()},
            notes=notes,
            resamples=resamples,
            seed=self.config.seed,
        )
        warnings = [*compared.warnings, *apart.warnings]
        return replace(
            base,
            rows=compared.rows,
            comparisons=compared.comparisons,
            warnings=warnings,
            results=results,
            slices=apart.slices,
            curves=apart.curves,
        )

    def _rows(self) -> dict[str, Any]:
        rows = dict(self.parts.rows)
        if all(self.parts.scorer is not scorer for scorer in rows.values()):
            rows[self._own_name()] = self.parts.scorer
        return rows

    def _own_name(self) -> str:
        assert self.config.scorer is not None
        name = "hybrid" if self.parts.composites else self.config.name
        return name if name not in self.parts.rows else f"{name} (pipeline)"

    def _hybrid(
        self, rows: Mapping[str, Any], tell: Callable[[str, int, int], None] | None
    ) -> tuple[str | None, str | None]:
        """The composite row and its best part, chosen on validation alone."""
        name = self._own_name()
        children = getattr(self.parts.scorer, "children", None)
        if name not in rows or not children or not len(self.split.validation.targets):
            return None, None
        key = {id(child): i for i, child in enumerate(children)}
        parts = {
            n: s
            for n, s in rows.items()
            if id(_plain(s)) in {id(_plain(c)) for c in children} or id(s) in key
        }
        if not parts:
            return None, None
        found = {
            n: self.rank(s, self.split.validation, _named(tell, f"{n} (validation)"))
            for n, s in parts.items()
        }
        return name, best_part(found, self.headline)

    def _seconds(self, scorer: Any) -> float:
        total = 0.0
        names = {id(handle): name for name, handle in self.parts.handles.items()}
        keys = {id(s): k for k, s in {**self.parts.scorers, **self.parts.composites}.items()}
        for part in [scorer, *(getattr(scorer, "children", None) or [])]:
            total += self.seconds.get(keys.get(id(part), ""), 0.0)
            handle = _plain(part)
            total += self.seconds.get(names.get(id(handle), ""), 0.0)
        return total

    def _notes(self, rows: Mapping[str, Any]) -> dict[str, str]:
        """The retriever's depth and recall, at the row that goes through it."""
        if self.engine.retriever is None:
            return {}
        note = f"retriever k = {self.engine.retriever_k}, recall {self.recall:.4f}"
        return {name: note for name, scorer in rows.items() if scorer is self.parts.scorer}


def judge_of(
    config: PipelineConfig,
    registry: Registry,
    parts: Parts,
    engine: Engine,
    dataset: Dataset,
    split: SplitResult,
) -> Judge:
    """Return the judge with the metrics that the config asks for."""
    metrics = [registry.build("metric", metric, Build()) for metric in config.evaluation.metrics]
    return Judge(config, parts, engine, dataset, split, metrics)


def _plain(scorer: Any) -> Any:
    """The model handle behind a ``model`` scorer, else the scorer itself."""
    return getattr(scorer, "target", scorer)


def _named(
    tell: Callable[[str, int, int], None] | None, name: str
) -> Callable[[int, int], None] | None:
    if tell is None:
        return None
    return lambda done, total: tell(name, done, total)
