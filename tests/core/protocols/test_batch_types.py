"""Batch types: histories without events, decisions, transitions, scores and encodings."""

from __future__ import annotations

import pytest
import torch

from rankloom.nn.slates import fill_slots
from rankloom.protocols import (
    CandidateBatch,
    Decisions,
    Encoded,
    History,
    RaggedIndices,
    ScoredCandidates,
    Scores,
    Slates,
    Transition,
)
from rankloom.testing import World, make_world
from rankloom.testing.doubles import FixedPenalty

INF = float("inf")


@pytest.fixture
def world() -> World:
    return make_world()


def _history(rows: list[list[int]]) -> History:
    items = RaggedIndices.from_lists(rows)
    n = len(items.values)
    return History(items, items.values * 10.0, items.values * 100, torch.arange(n))


@pytest.mark.parametrize("n", [0, 1, 3])
@pytest.mark.parametrize("side", ["left", "right"])
def test_nothing_but_empty_histories_crop(n: int, side: str) -> None:
    cropped = History.empty(n).crop(5, side=side)
    for name in ("items", "at", "values", "times", "mask"):
        assert cropped[name].shape == (n, 1), name
    assert not cropped["mask"].any()
    assert cropped["items"].eq(-1).all()
    assert cropped["values"].isnan().all()


def test_crop_keeps_the_last_events_on_either_side() -> None:
    history = _history([[1, 2, 3], [], [4]])
    right, left = history.crop(2), history.crop(2, side="left")
    assert right["items"].tolist() == [[2, 3], [-1, -1], [4, -1]]
    assert left["items"].tolist() == [[2, 3], [-1, -1], [-1, 4]]
    assert right["times"].tolist() == [[200, 300], [0, 0], [400, 0]]
    assert right["values"].nan_to_num(-1).tolist() == [[20, 30], [-1, -1], [40, -1]]
    at, mask = history.padded(2)
    wide = History.take(torch.arange(4.0)[:, None].expand(4, 3), at, mask, 9.0)
    assert wide[..., 2].tolist() == [[1, 2], [9, 9], [3, 9]]


@pytest.mark.parametrize("side", ["left", "right"])
def test_one_history_crops_like_one_of_many(side: str) -> None:
    whole = _history([[1, -1, 3], [1, -1, 3]])
    one = whole.select(torch.tensor([0])).crop(2, side=side)
    for name, tensor in whole.crop(2, side=side).items():
        assert torch.equal(one[name], tensor[:1]), name
    assert torch.equal(RaggedIndices.from_lists([[5, 6]]).row_ids(), torch.zeros(2).long())


def test_a_whole_catalog_needs_no_gathering() -> None:
    mask = torch.tensor([[True, False, True]])
    whole = CandidateBatch(torch.arange(3), mask, whole=True)
    plain = CandidateBatch(torch.arange(3), mask)
    columns = torch.tensor([[2, 0]])
    for batch in (whole, plain, whole.with_encoded(Encoded(torch.zeros(3, 2)))):
        assert torch.equal(batch.allowed(1), mask)
        assert torch.equal(batch.at(columns), columns)
    assert whole.with_encoded(Encoded(torch.zeros(3, 2))).whole
    assert CandidateBatch(torch.tensor([7, 8, 9])).at(columns).tolist() == [[9, 7]]


def test_decisions_find_what_was_shown(world: World) -> None:
    scored = world.scored(6)
    items = scored.candidates.items
    shown = torch.stack([items[:, 2], items[:, 5], torch.full((6,), -1)], 1)
    rewards = torch.tensor([[1.0, float("nan"), 0.0]] * 6)
    decisions = Decisions(scored, Slates(shown, rewards, rewards), rewards)
    assert len(decisions) == 6
    assert decisions.columns().tolist() == [[2, 5, -1]] * 6
    assert decisions.rewarded.tolist() == [[True, False, False]] * 6
    assert torch.equal(decisions.vectors()[:, :2], world.item_vectors[shown[:, :2]])


def test_transitions_end(world: World) -> None:
    shown = torch.tensor([[3], [-1], [99]])
    nothing = torch.zeros(3, 1)
    queries = world.queries.select(torch.arange(3))
    step = Transition(
        queries,
        CandidateBatch(torch.arange(5)),
        Slates(shown, nothing, nothing),
        torch.tensor([[1.0], [0.0], [2.0]]),
        queries,
        torch.tensor([False, False, True]),
        torch.full((3,), 0.5),
    )
    assert step.columns().tolist() == [[3], [-1], [-1]]
    value = torch.tensor([4.0, 2.0, float("nan")])
    assert step.returns(value).tolist() == [3.0, 1.0, 2.0]
    none = Transition(*{**vars(step), "candidates": CandidateBatch(torch.arange(0))}.values())
    assert none.columns().tolist() == [[-1]] * 3


def test_scores_keep_spread_and_samples_when_masked_and_replaced() -> None:
    def sure(value: float) -> Scores:
        return Scores(torch.full((2, 2), value))

    def draw(generator: torch.Generator) -> torch.Tensor:
        return torch.rand(2, 2, generator=generator)

    scores = Scores(torch.ones(2, 2), "rating", torch.full((2, 2), 0.3), draw)
    known = torch.tensor([[True, False], [True, True]])
    masked = scores.masked(known)
    assert masked.std is not None
    assert masked.sample is not None
    drawn = masked.sample(torch.Generator())
    for values in (masked.values, masked.std, drawn):
        assert torch.equal(~values.isnan(), known)
    mixed = scores.otherwise(sure(7.0), torch.tensor([False, True]))
    assert mixed.values.tolist() == [[1, 1], [7, 7]]
    assert mixed.scale == "rating"
    assert mixed.std is not None
    assert mixed.sample is not None
    assert mixed.std[1].tolist() == [0, 0]
    assert mixed.sample(torch.Generator())[1].tolist() == [7, 7]
    assert sure(1.0).otherwise(scores, torch.tensor([True, False])).std is None


def test_encodings_join_with_padded_tokens() -> None:
    short = Encoded(torch.ones(1, 2), torch.ones(1, 1, 2), torch.ones(1, 1).bool())
    long = Encoded(torch.ones(2, 2), torch.ones(2, 3, 2), torch.ones(2, 3).bool())
    both = Encoded.cat([short, long])
    assert both.tokens is not None
    assert both.mask is not None
    assert both.mask.tolist() == [[True, False, False], [True] * 3, [True] * 3]
    assert both.tokens[0, 1:].eq(0).all()
    assert Encoded.cat([short, Encoded(torch.ones(1, 2))]).tokens is None


@pytest.mark.parametrize("sign", [1, -1])
def test_an_infinite_penalty_of_either_sign_forbids(world: World, sign: int) -> None:
    scored = ScoredCandidates(
        world.queries, world.candidates(), Scores(torch.linspace(1, 0, 12).expand(6, -1).clone())
    )
    scored.scores.values[0, 1] = torch.nan
    penalties = torch.zeros(12)
    penalties[0], penalties[1], penalties[2] = sign * INF, sign * INF, 5.0
    penalties[11] = -9.0  # a bonus
    slates = fill_slots(scored, 3, [FixedPenalty(penalties)], lambda u: u.max(1)[::-1])
    assert slates.items[0].tolist() == [11, 3, 4]
    assert not torch.isin(slates.items, torch.tensor([0, 1, 2])).any()
