"""Retrieve, score, decide: exclusions, fallback, unknown scores, the retriever's path."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from rankloom.errors import PluginError
from rankloom.pipeline.engine import Engine
from rankloom.pipeline.handle import ModelHandle
from rankloom.protocols import (
    Build,
    CandidateBatch,
    GuardBase,
    QueryBatch,
    RaggedIndices,
    ScoredCandidates,
    Scores,
    Slates,
)
from rankloom.testing import World, make_world
from rankloom_plugins.policies.greedy import GreedyPolicy
from rankloom_plugins.policies.plugin import GreedyConfig
from rankloom_plugins.retrieval.exact import ExactRetriever
from rankloom_plugins.retrieval.plugin import ExactConfig

from .parts import make


class Fixed:
    """Scores ``[n_items]``, the same for every query; nothing for the queries in ``unknown``."""

    def __init__(self, values: Tensor, unknown: list[int], std: float | None = None) -> None:
        self.values, self.unknown, self.std = values, unknown, std

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        values = candidates.gather(self.values.expand(len(queries), -1)).clone()
        values[self.unknown] = torch.nan
        return Scores(
            values, "rank", None if self.std is None else torch.full_like(values, self.std)
        )


class Watch(GuardBase):
    """Excludes one item of every query, and remembers what was shown."""

    reason = "watched"

    def __init__(self, item: int) -> None:
        self.item, self.shown = item, list[list[int]]()

    def exclude(self, queries: QueryBatch) -> RaggedIndices:
        return RaggedIndices.from_lists([[self.item]] * len(queries))

    def observe(self, slates: Slates) -> None:
        self.shown.append(slates.items[:, 0].tolist())


@pytest.fixture
def world() -> World:
    return make_world()


def _engine(scorer: Any, guards: list[Any] | None = None, **more: Any) -> Engine:
    falling = Fixed(torch.linspace(0, 1, 12), [])
    policy = GreedyPolicy(GreedyConfig(), Build())
    return Engine(scorer, falling, policy, guards or [], torch.ones(12).bool(), **more)


def _run(engine: Engine, world: World, k: int = 3, **more: Any) -> Any:
    return engine.run(world.queries, k, torch.Generator(), **more)


RISING = torch.linspace(1, 0, 12)


def test_unknown_queries_are_served_by_the_fallback(world: World) -> None:
    outcome = _run(_engine(Fixed(RISING, [1, 4])), world)
    assert outcome.fallback.tolist() == [False, True, False, False, True, False]
    assert outcome.slates.items[0].tolist() == [0, 1, 2]
    assert outcome.slates.items[1].tolist() == [11, 10, 9]


def test_fallback_keeps_the_spread_of_the_others(world: World) -> None:
    scores, _ = _engine(Fixed(RISING, [2], std=0.5)).score(world.queries, world.candidates())
    assert scores.std is not None
    assert scores.std[0].eq(0.5).all()
    assert scores.std[2].eq(0).all()  # the fallback is taken as certain


def test_unknown_items_are_never_shown(world: World) -> None:
    values = RISING.clone()
    values[:10] = torch.nan
    items = _run(_engine(Fixed(values, [])), world).slates.items
    assert items.tolist() == [[10, 11, -1]] * 6


def test_guards_are_asked_before_and_told_after(world: World) -> None:
    guard = Watch(0)
    outcome = _run(_engine(Fixed(RISING, []), [guard]), world)
    assert outcome.slates.items[:, 0].tolist() == [1] * 6
    assert outcome.excluded.tolist() == [1] * 6
    assert guard.shown == [[1] * 6]
    assert outcome.scored.candidates.reasons["excluded"][:, 0].all()
    _run(_engine(Fixed(RISING, []), [guard]), world, observe=False)
    assert len(guard.shown) == 1


def test_exclusions_of_protocol_request_and_catalog(world: World) -> None:
    guard = Watch(0)
    engine = _engine(Fixed(RISING, []), [guard])
    seen = RaggedIndices.from_lists([[1], [], [0, 1], [], [], []])
    # a protocol's exclusions stand in for the guards'; a request's are added
    items = _run(engine, world, 1, exclude=seen).slates.items[:, 0]
    assert items.tolist() == [0, 0, 2, 0, 0, 0]
    items = _run(engine, world, 1, also_exclude=seen).slates.items[:, 0]
    assert items.tolist() == [2, 1, 2, 1, 1, 1]
    allowed = torch.arange(12) > 6
    assert _run(engine, world, 1, allowed=allowed).slates.items[:, 0].tolist() == [7] * 6
    withdrawn = replace(engine, available=torch.arange(12) != 1)
    assert _run(withdrawn, world, 1).slates.items[:, 0].tolist() == [2] * 6
    nothing = _run(engine, world, 2, allowed=torch.zeros(12).bool())
    assert nothing.slates.items.eq(-1).all()
    assert nothing.fallback.all()


def _with_retriever(world: World, k: int = 4) -> Engine:
    model, table = make(12)
    table.load(world.items, None)
    table.refresh()
    handle, retriever = ModelHandle(model, table), ExactRetriever(ExactConfig(), Build())
    retriever.refresh(table.vectors, None)
    return _engine(
        handle,
        [Watch(0)],
        retriever=retriever,
        retriever_handle=handle,
        retriever_k=k,
        handles={"m": handle},
    )


def test_retriever_narrows_and_its_candidates_are_ranked(world: World) -> None:
    engine = _with_retriever(world)
    outcome = _run(engine, world, 4)
    candidates = outcome.scored.candidates
    assert candidates.items.shape == (6, 4)
    assert not (candidates.items == 0).any()
    everything = _run(replace(engine, retriever=None), world, 4)
    assert torch.equal(outcome.slates.items[:5], everything.slates.items[:5])
    allowed = torch.arange(12) % 2 == 1
    odd = _run(engine, world, 4, allowed=allowed).slates.items
    assert allowed[odd[odd >= 0]].all()


def test_context_of_a_named_model(world: World) -> None:
    engine = _with_retriever(world)
    scored: ScoredCandidates = _run(engine, world, 2).scored
    for name in (None, "m"):
        context = scored.context(name)
        handle = engine.handles["m"]
        assert context.version == handle.table.version
        assert torch.equal(context.items, handle.table.vectors[scored.candidates.items])
        assert torch.equal(context.queries, handle.encode(world.queries)[0].vectors)
    with pytest.raises(LookupError, match="no model"):
        _run(_engine(Fixed(RISING, [])), world).scored.context()


class Says:
    """Answers whatever it is asked with one thing."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Any:
        return self.answer

    def decide(self, *_: Any) -> Any:
        return self.answer

    def retrieve(self, *_: Any) -> Any:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "score returned NoneType; it must return rankloom.protocols.Scores"),
        (Scores(torch.zeros(12)), r"the shape \[12\] for 6 queries and 12 candidates"),
        (Scores(torch.zeros(6, 11)), r"must be a tensor \[6, 12\]"),
    ],
)
def test_a_scorer_that_breaks_its_contract_is_named(world: World, answer: Any, reason: str) -> None:
    with pytest.raises(PluginError, match=reason) as caught:
        _run(_engine(Says(answer)), world)
    assert "test_pipeline_engine.Says" in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "decide returned NoneType"),
        (
            Slates(torch.zeros(6, 2).long(), torch.zeros(6, 2), torch.zeros(6, 2)),
            r"items of the shape \[6, 2\] for 6 queries and 3 slots",
        ),
        (
            Slates(torch.zeros(6, 3).long(), torch.zeros(6, 3), torch.zeros(6)),
            r"log_probs of the shape \[6\]",
        ),
    ],
)
def test_a_policy_that_breaks_its_contract_is_named(world: World, answer: Any, reason: str) -> None:
    with pytest.raises(PluginError, match=reason):
        _run(_engine(Fixed(RISING, [])), world, policy=Says(answer))


@pytest.mark.parametrize("answer", [None, CandidateBatch(torch.zeros(2, 4).long())])
def test_a_retriever_that_breaks_its_contract_is_named(world: World, answer: Any) -> None:
    class Handle:
        def encode(self, queries: QueryBatch) -> tuple[Any, Any]:
            return None, None

    engine = _engine(
        Fixed(RISING, []), retriever=Says(answer), retriever_handle=cast("ModelHandle", Handle())
    )
    with pytest.raises(PluginError, match=r"Says\.retrieve returned"):
        _run(engine, world)


class Takes(GuardBase):
    """Takes something off."""

    def __init__(self, penalty: Any) -> None:
        self.answer = penalty

    def penalty(self, scored: ScoredCandidates, prefix: Tensor) -> Any:
        return self.answer


@pytest.mark.parametrize(
    ("penalty", "reason"),
    [
        (0.5, "returned float"),
        (torch.zeros(6, 12).bool(), "returned torch.bool"),
        (torch.zeros(6, 1), r"the shape \[6, 1\]; it must be \[6, 12\]"),
        (torch.full((6, 12), torch.nan), "returned NaN"),
    ],
)
def test_a_guard_that_breaks_its_contract_is_named(world: World, penalty: Any, reason: str) -> None:
    with pytest.raises(PluginError, match=reason) as caught:
        _run(_engine(Fixed(RISING, []), [Takes(penalty)]), world)
    assert "Takes.penalty" in str(caught.value)
