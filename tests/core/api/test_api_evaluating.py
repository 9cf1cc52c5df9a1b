"""Evaluation judges what the pipeline serves; other rows differ by their scorer alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

from rankloom import ComponentConfig, Pipeline, component, hookimpl
from rankloom.errors import ConfigError
from rankloom.protocols import Build, QueryBatch, RaggedIndices
from rankloom.protocols.guard import GuardBase

from .conftest import MODEL


class NothingConfig(ComponentConfig):
    """Forbids every item."""

    type: Literal["nothing_test"] = "nothing_test"


class Nothing(GuardBase):
    reason = "nothing"

    def __init__(self, config: NothingConfig, build: Build) -> None:
        self.n_items = build.n_items

    def exclude(self, queries: QueryBatch) -> RaggedIndices:
        return RaggedIndices.from_lists([list(range(self.n_items))] * len(queries))


class Plugin:
    @staticmethod
    @hookimpl
    def register_guards() -> list[object]:
        return [component(NothingConfig, f"{__name__}:Nothing")]


def test_the_pipelines_row_goes_through_its_guards(
    fit: Callable[..., Pipeline], plug: Callable[[object], None]
) -> None:
    plug(Plugin())
    blend = {"type": "blend", "parts": ["ease", "markov"]}
    report = fit(scorer=blend, guards=["seen", "nothing_test"]).evaluate(progress=False)
    found = {row.name: row.metrics["ndcg@10"] for row in report.rows}
    assert found["hybrid"] == 0
    assert found["ease"] > 0


def test_the_row_with_a_retriever_says_how_deep_and_what_it_finds(
    fit: Callable[..., Pipeline],
) -> None:
    notes = {}
    for k in (3, 40):
        pipeline = fit(model=MODEL, scorer="model", retriever={"type": "exact", "k": k})
        report = pipeline.evaluate(progress=False)
        notes[k] = {row.name: row.note for row in report.rows}
        assert notes[k].pop("small").startswith(f"retriever k = {k}, recall ")
        assert not any(notes[k].values())
        own = next(row for row in report.rows if row.name == "small")
        recall = float(own.note.rpartition(" ")[2])
        assert recall == 1 if k == 40 else own.metrics["recall@10"] <= recall + 1e-4 < 1


def test_any_metric_may_be_watched(fit: Callable[..., Pipeline]) -> None:
    training = {"epochs": 1, "batch_size": 64, "monitor": "mrr@5"}
    pipeline = fit(model={**MODEL, "training": training}, scorer="model")
    best = pipeline.log.fitted["model"].best
    report = pipeline.evaluate(phase="validation", progress=False)
    assert best is not None
    assert 0 <= best <= next(row for row in report.rows if row.name == "small").metrics["mrr@10"]


def test_what_cannot_be_watched_is_found_at_validation() -> None:
    training = {"monitor": "loss"}
    with pytest.raises(ConfigError, match=r"training\.monitor: there is no measure 'loss'"):
        Pipeline.from_config({"name": "x", "model": {**MODEL, "training": training}})
