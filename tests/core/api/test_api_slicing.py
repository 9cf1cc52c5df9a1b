"""Warm, cold and overall, few-shot and fold-in curves, against loops over users and items."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from rich.console import Console

from rankloom import Pipeline
from rankloom.api.evaluating import Judge
from rankloom.data.dataset import Phase
from rankloom.errors import ConfigError
from rankloom.evaluation import EvaluationReport
from rankloom.protocols import CandidateBatch, QueryBatch, RaggedIndices
from rankloom.protocols.history import History

CONTENT = {
    "items": {"encoders": {"genres": {"type": "multi_hot", "dim": 8}, "year": "number"}},
    "queries": {"encoders": {"history": {"type": "history_mean", "project": True}}},
    "tasks": ["softmax"],
    "training": {"epochs": 1, "batch_size": 64},
}
QUICK = {"resamples": 50, "baselines": False, "k": [5], "metrics": ["ndcg"], "block_size": 4}


def run(fit: Callable[..., Pipeline], **evaluation: Any) -> tuple[Pipeline, EvaluationReport]:
    pipeline = fit(
        model=CONTENT,
        scorer="model",
        data={"split": {"type": "cold_items", "warm_test": 0.2}},
        evaluation={**QUICK, **evaluation},
    )
    return pipeline, pipeline.evaluate(progress=False)


def ndcg(ranking: Sequence[int], targets: set[int], k: int = 5) -> float:
    gain = sum(1 / math.log2(r + 2) for r, item in enumerate(ranking[:k]) if item in targets)
    return gain / sum(1 / math.log2(r + 2) for r in range(min(k, len(targets))))


class Loop:
    """Ranks for one user at a time, in Python."""

    def __init__(self, pipeline: Pipeline) -> None:
        assert pipeline.dataset is not None
        assert pipeline.split is not None
        assert pipeline.parts is not None
        self.dataset, self.split = pipeline.dataset, pipeline.split
        self.scorer = pipeline.parts.scorer
        self.phase: Phase = self.split.test
        self.log = self.dataset.interactions

    def rows(self, rows: torch.Tensor, user: int) -> list[int]:
        own = [r for r in rows.tolist() if int(self.log.users[r]) == user]
        return sorted(own, key=lambda r: (int(self.log.times[r]), int(self.log.rows[r])))

    def items(self, rows: Sequence[int]) -> list[int]:
        return [int(self.log.items[r]) for r in rows]

    def value(
        self, user: int, history: list[int], targets: set[int], allowed: Sequence[int]
    ) -> float:
        events = RaggedIndices.from_lists([self.items(history)])
        at = torch.tensor(history, dtype=torch.long)
        known = History(events, self.log.values[at], self.log.times[at], self.log.rows[at])
        zero = torch.zeros(1, dtype=torch.long)
        query = QueryBatch(torch.tensor([user]), known, events, zero)
        everything = torch.arange(len(self.dataset.items))
        with torch.no_grad():
            scores = self.scorer.score(query, CandidateBatch(everything, whole=True)).values[0]
        return ndcg(sorted(allowed, key=lambda i: (-float(scores[i]), i)), targets)


def compared(found: Any, wanted: dict[int, float]) -> None:
    assert found.queries.tolist() == sorted(wanted)
    got = found.values["ndcg@5"].tolist()
    assert got == pytest.approx([wanted[user] for user in sorted(wanted)])


def test_slices_against_a_loop(fit: Callable[..., Pipeline]) -> None:
    pipeline, report = run(fit)
    loop = Loop(pipeline)
    assert loop.split.refit is not None
    warm = set(loop.items(loop.split.refit.tolist()))
    assert [one.name for one in report.slices] == ["warm", "cold"]
    everything = set(loop.phase.candidates.nonzero()[:, 0].tolist())
    kinds = {"overall": everything, "warm": everything & warm, "cold": everything - warm}
    assert len(kinds["cold"]) == 8
    for kind, members in kinds.items():
        wanted = {}
        for user in range(30):
            history = loop.rows(loop.phase.history, user)
            targets = set(loop.items(loop.rows(loop.phase.targets, user))) & members
            if targets:
                allowed = sorted(members - set(loop.items(history)))
                wanted[user] = loop.value(user, history, targets, allowed)
        results = report.results if kind == "overall" else report.slice(kind).results
        compared(results["small"], wanted)
    assert report.slice("cold").rows[0].n == len(report.slice("cold").results["small"].queries)
    assert "among the 8 cold candidates alone" in report.slice("cold").rule


def test_item_counts_against_a_loop(fit: Callable[..., Pipeline]) -> None:
    pipeline, report = run(fit, item_counts=[0, 1, 6, 50], slices=[])
    assert report.slices == []
    loop = Loop(pipeline)
    assert loop.split.refit is not None
    fitted = loop.items(loop.split.refit.tolist())
    curve = report.curve("item_counts", "small")
    assert [point.label for point in curve.points] == ["0", "1 to 5", "6 to 49", "50 and more"]
    assert curve.points[3].queries == 0
    assert any("n = 50" in warning for warning in report.warnings)
    for n, group in ((0, [0]), (1, range(1, 6)), (6, range(6, 50))):
        wanted = {}
        for user in range(30):
            history = loop.rows(loop.phase.history, user)
            every = set(loop.items(loop.rows(loop.phase.targets, user)))
            targets = {item for item in every if fitted.count(item) in group}
            if targets:
                hidden = set(loop.items(history)) | (every - targets)
                allowed = [i for i in range(40) if loop.phase.candidates[i] and i not in hidden]
                wanted[user] = loop.value(user, history, targets, allowed)
        compared(curve.results[n], wanted)


def test_fold_in_against_a_loop(fit: Callable[..., Pipeline]) -> None:
    pipeline = fit(
        model=CONTENT,
        scorer="model",
        data={"split": {"type": "fold_in", "fraction": 0.4, "support": 5}},
        evaluation={**QUICK, "fold_in": [1, 3, 5]},
    )
    report = pipeline.evaluate(progress=False)
    loop = Loop(pipeline)
    curve = report.curve("fold_in", "small")
    for n in (1, 3, 5):
        wanted = {}
        for user in range(30):
            history = loop.rows(loop.phase.history, user)
            targets = set(loop.items(loop.rows(loop.phase.targets, user)))
            if targets:
                allowed = [i for i in range(40) if i not in loop.items(history)]
                wanted[user] = loop.value(user, history[:n], targets, allowed)
        assert len(wanted) == 12
        compared(curve.results[n], wanted)
    compared(report.results["small"], wanted)  # the largest n is the evaluation itself
    assert [step.n for step in curve.steps] == [12, 12]
    assert not any("fold_in" in warning for warning in report.warnings)
    console = Console(file=io.StringIO(), width=120)
    report.print(console)
    assert isinstance(console.file, io.StringIO)
    assert "small, by known positives of the user" in console.file.getvalue()


def test_without_a_history_the_fallback_answers(fit: Callable[..., Pipeline]) -> None:
    report = fit(
        data={"split": {"type": "fold_in", "fraction": 0.4, "support": 5}},
        evaluation={**QUICK, "fold_in": [0, 5], "compare": {"popularity": "popularity"}},
    ).evaluate(progress=False)
    own, popular = report.curve("fold_in", "small"), report.curve("fold_in", "popularity")
    assert own.means("ndcg@5")[0] == popular.means("ndcg@5")[0] == popular.means("ndcg@5")[5]
    assert own.means("ndcg@5")[5] != own.means("ndcg@5")[0]


def test_known_users_and_short_histories_are_said(fit: Callable[..., Pipeline]) -> None:
    report = fit(evaluation={**QUICK, "fold_in": [0, 5]}).evaluate(progress=False)
    assert any("30 of 30 users were in the training" in line for line in report.warnings)
    assert report.curve("fold_in", "small").points[0].queries == 30
    report = fit(evaluation={**QUICK, "fold_in": [0, 50]}).evaluate(progress=False)
    assert any("history of 50 positives" in line for line in report.warnings)
    assert report.curves == []


def test_nothing_more_is_judged_unless_asked_for(
    fit: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    rank = Judge.rank

    def counted(self: Judge, *args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return rank(self, *args, **kwargs)

    monkeypatch.setattr(Judge, "rank", counted)
    pipeline = fit(evaluation=QUICK)  # every item is warm
    report = pipeline.evaluate(progress=False)
    assert (len(calls), report.slices, report.curves) == (1, [], [])
    cold = fit(model=CONTENT, scorer="model", data={"split": "cold_items"}, evaluation=QUICK)
    report = cold.evaluate(progress=False)
    assert (len(calls), report.slices) == (2, [])
    asked = fit(evaluation={**QUICK, "slices": ["cold"]}).evaluate(progress=False)
    assert asked.slices == []
    assert any("No target is a cold item" in line for line in asked.warnings)


def test_mistakes_in_the_config_are_named() -> None:
    for wrong, said in (
        ({"fold_in": [3, 1]}, "ascending order"),
        ({"item_counts": [-1, 1]}, "item_counts"),
        ({"slices": ["warm", "warm"]}, "each slice once"),
        ({"slices": ["hot"]}, "'warm' or 'cold'"),
    ):
        with pytest.raises(ConfigError, match=said):
            Pipeline.from_config({"name": "x", "scorer": "ease", "evaluation": wrong})
