"""Models and their handles: history vectors, tokens, raw fields, spread, masks."""

from __future__ import annotations

import runpy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rankloom.pipeline.handle import ModelHandle
from rankloom.pipeline.scorer_fields import ScorerFields
from rankloom.protocols import CandidateBatch, Features, History, QueryBatch, RaggedIndices, Scores
from rankloom.testing import World, make_world

from .parts import DIM, Plain, make

PROTOCOL = Path(__file__).parents[2] / "protocol"


@pytest.fixture
def world() -> World:
    return make_world()


def _handle(world: World, scorer: Any = None, **more: Any) -> ModelHandle:
    model, table = make(12, scorer, **more)
    table.load(world.items, None)
    table.refresh()
    return ModelHandle(model, table)


def _history(rows: list[list[int]], pseudo: dict[str, Tensor] | None = None) -> History:
    items = RaggedIndices.from_lists(rows)
    n = len(items.values)
    zeros = torch.zeros(n, dtype=torch.long)
    return History(items, torch.ones(n), zeros, zeros - 1, pseudo)


def test_history_vectors_of_known_new_and_pseudo_items(world: World) -> None:
    model = _handle(world).model
    pseudo = torch.full((2, DIM), 7.0)
    pseudo[1] = 8.0
    history = _history([[3, -1, 99], [], [-1, 0]], {"m": pseudo})
    features = model.collate_history("history", history)
    table = torch.arange(12.0)[:, None].expand(12, DIM)
    vectors = model.with_vectors(features, history, table, None)["vectors"][..., 0]
    assert vectors.tolist() == [[3, 7, 0], [0, 0, 0], [8, 0, 0]]
    # in training: rows of the universe, -1 outside
    positions = torch.full((12,), -1)
    positions[torch.tensor([0, 3])] = torch.tensor([1, 0])
    small = torch.tensor([[30.0], [10.0]]).expand(2, DIM)
    vectors = model.with_vectors(features, history, small, positions)["vectors"][..., 0]
    assert vectors.tolist() == [[30, 7, 0], [0, 0, 0], [8, 10, 0]]
    turned = history.select(torch.tensor([2, 1, 0]))
    features = model.collate_history("history", turned)
    vectors = model.with_vectors(features, turned, table, None)["vectors"][..., 0]
    assert vectors.tolist() == [[8, 0, 0], [0, 0, 0], [3, 7, 0]]


def test_nothing_but_empty_histories(world: World) -> None:
    handle = _handle(world)
    stranger = QueryBatch(
        torch.tensor([-1, -1]), History.empty(2), RaggedIndices.from_lists([[], []]), torch.zeros(2)
    )
    scores = handle.score(stranger, world.candidates())
    assert scores.values.shape == (2, 12)
    assert scores.values.isnan().all()  # nothing is known of the query


def test_din_attends_to_tokens_of_a_real_model(world: World) -> None:
    din = runpy.run_path(str(PROTOCOL / "case_din.py"))["Din"](DIM, 5)
    handle = _handle(world, din, tokens=True)
    scores = handle.score(world.queries, world.candidates())
    encoded, known = handle.encode(world.queries)
    assert encoded.tokens is not None
    assert encoded.tokens.shape == (6, 4, DIM)
    assert known.tolist() == [True] * 5 + [False]
    assert scores.values[5].isnan().all()
    assert scores.values[:5].isfinite().all()
    own = torch.tensor([[1, 5, 0]] * 6)
    picked = handle.score(world.queries, CandidateBatch(own)).values
    assert torch.allclose(picked[:5], scores.values[:5].gather(1, own[:5]), atol=1e-6)
    with pytest.raises(LookupError, match="no tokens"):
        _handle(world, din).score(world.queries, world.candidates())


class Certain:
    """Scores with a spread and samples."""

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        shape = (len(queries), candidates.width)
        std = torch.full(shape, 2.0)
        return Scores(torch.ones(shape), "rating", std, partial(_draw, shape))


def _draw(shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    return torch.rand(shape, generator=generator)


def test_spread_and_samples_pass_through_the_mask(world: World) -> None:
    scores = _handle(world, Certain()).score(world.queries, world.candidates())
    assert scores.scale == "rating"
    assert scores.std is not None
    assert scores.sample is not None
    drawn = scores.sample(torch.Generator().manual_seed(1))
    for values in (scores.values, scores.std, drawn):
        assert values[5].isnan().all()
        assert values[:5].isfinite().all()


class Reads:
    """Reads years of candidates and of the history, and the age of the user."""

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        q, n = len(queries), candidates.width
        years = candidates.features("when")["x"].view(-1, n).expand(q, -1)
        at, mask = queries.history.padded(3)
        past = History.take(queries.history.features("when")["x"], at, mask, 0.0)[..., 0]
        ages = queries.features("age")["x"]
        return Scores(years * 1e-3 + past.sum(1, keepdim=True) + ages * 1e6)


@pytest.mark.parametrize("own", [False, True])
def test_scorer_reads_raw_fields(world: World, own: bool) -> None:
    fields = ScorerFields(
        "m.scorer.model",
        {"when": Plain(), "age": Plain()},
        {"when": "item.year", "age": "user.age"},
    )
    handle = _handle(world, Reads(), fields=fields)
    ages = Plain().collate(world.users.values("age"))
    queries = replace(world.queries, fields={"m.scorer.model.age": ages})
    items = torch.tensor([2, 0])
    candidates = CandidateBatch(items.expand(6, -1) if own else items)
    values = handle.score(queries, candidates).values
    years = torch.tensor([y or 0.0 for y in world.items.values("year")])
    for row in range(5):
        history = world.queries.history.items[row][-3:]
        expected = years[items] * 1e-3 + years[history].sum() + ages["x"][row] * 1e6
        assert torch.allclose(values[row], expected)


def test_batches_without_raw_fields_say_so(world: World) -> None:
    for read in (world.candidates().features, world.queries.history.features):
        with pytest.raises(LookupError, match=r"'title'.*declares them under 'encoders:'"):
            read("title")
    with pytest.raises(LookupError, match=r"'age' was declared.*none"):
        world.queries.features("age")
    nothing: Features = Plain().collate([None])
    assert not nothing.present.any()


def test_encodings_are_remembered_for_one_batch_and_version(world: World) -> None:
    handle = _handle(world)
    first, _ = handle.encode(world.queries)
    assert handle.encode(world.queries)[0] is first
    assert handle.encode(replace(world.queries))[0] is not first
    handle.table.refresh()
    assert handle.encode(world.queries)[0] is not first
    assert handle.__getstate__()["_last"] is None
