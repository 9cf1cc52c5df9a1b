"""Greedy and Plackett-Luce: exact probabilities, guards, empty slots."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from rankloom.protocols import (
    Build,
    CandidateBatch,
    GuardBase,
    History,
    Policy,
    QueryBatch,
    RaggedIndices,
    ScoredCandidates,
    Scores,
    Slates,
)
from rankloom_plugins.policies.greedy import GreedyPolicy
from rankloom_plugins.policies.plackett_luce import PlackettLucePolicy
from rankloom_plugins.policies.plugin import GreedyConfig, PlackettLuceConfig

NAN = float("nan")


class Neighbours(GuardBase):
    """Forbids items next to the last shown one; dislikes even items more in later slots."""

    def penalty(self, scored: ScoredCandidates, prefix: Tensor) -> Tensor:
        items = scored.candidates.expand(len(scored.queries))
        cost = 0.3 * prefix.shape[1] * (items % 2 == 0)
        if prefix.shape[1]:
            last = prefix[:, -1:]
            cost = cost.masked_fill((last >= 0) & ((items - last).abs() == 1), torch.inf)
        return cost


class Late(GuardBase):
    """Silent at first, then forbids item 0."""

    def penalty(self, scored: ScoredCandidates, prefix: Tensor) -> Tensor | None:
        if not prefix.shape[1]:
            return None
        return torch.where(scored.candidates.expand(len(scored.queries)) == 0, torch.inf, 0.0)


def _scored(
    values: Tensor, items: Tensor | None = None, mask: Tensor | None = None
) -> ScoredCandidates:
    q, n = values.shape
    none = RaggedIndices(torch.empty(0, dtype=torch.long), torch.zeros(q + 1, dtype=torch.long))
    queries = QueryBatch(torch.arange(q), History.empty(q), none, torch.zeros(q, dtype=torch.long))
    items = torch.arange(n) if items is None else items
    return ScoredCandidates(queries, CandidateBatch(items, mask), Scores(values))


def _pl(temperature: float = 1.0) -> PlackettLucePolicy:
    return PlackettLucePolicy(PlackettLuceConfig(temperature=temperature), Build())


def _greedy() -> GreedyPolicy:
    return GreedyPolicy(GreedyConfig(), Build())


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _pairs(values: Tensor, guards: list[GuardBase], policy: Policy) -> dict[tuple[int, int], float]:
    pairs = list(permutations(range(6), 2))
    scored = _scored(values.expand(len(pairs), -1))
    items = torch.tensor(pairs)
    log_probs = policy.log_prob(scored, Slates(items, items.float(), items.float()), guards)
    return dict(zip(pairs, log_probs.double().sum(1).exp().tolist(), strict=True))


VALUES = torch.tensor([[0.4, -1.0, 2.0, 0.0, 1.1, -0.3]])


@pytest.mark.parametrize("guards", [[], [Late()], [Neighbours()]])
def test_all_ordered_pairs_sum_to_one(guards: list[GuardBase]) -> None:
    law = _pairs(VALUES, guards, _pl(0.7))
    assert len(law) == 30
    assert sum(law.values()) == pytest.approx(1.0, abs=1e-6)


def test_pair_law_is_plackett_luce() -> None:
    weights = (VALUES[0].double() / 0.7).exp()
    for (first, second), probability in _pairs(VALUES, [], _pl(0.7)).items():
        total = weights.sum()
        expected = weights[first] / total * weights[second] / (total - weights[first])
        assert probability == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("guards", [[], [Neighbours()]], ids=["fast", "guarded"])
def test_samples_follow_the_law(guards: list[GuardBase]) -> None:
    draws = 100_000
    scored = _scored(VALUES.expand(draws, -1))
    slates = _pl().decide(scored, 2, guards, _seeded(11))
    law = {pair: p for pair, p in _pairs(VALUES, guards, _pl()).items() if p > 0}
    seen = Counter(map(tuple, slates.items.tolist()))
    assert set(seen) <= set(law)
    observed = [seen[pair] for pair in law]
    expected = torch.tensor(list(law.values()), dtype=torch.double)
    expected = expected / expected.sum() * draws
    assert chisquare(observed, expected.numpy()).pvalue > 0.001


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    k=st.integers(1, 9),
    guarded=st.sampled_from([0, 1, 2]),
    shared=st.booleans(),
    temperature=st.sampled_from([0.05, 1.0, 5.0]),
)
def test_logged_choices_get_the_probability_they_were_drawn_with(
    seed: int, k: int, guarded: int, shared: bool, temperature: float
) -> None:
    generator = _seeded(seed)
    values = torch.randn(5, 7, generator=generator) * 3
    values[torch.rand(5, 7, generator=generator) < 0.15] = torch.nan
    mask = torch.rand(5, 7, generator=generator) < 0.8
    mask[4] = False
    items = (
        torch.arange(7)
        if shared
        else torch.stack([torch.randperm(20, generator=generator)[:7] for _ in range(5)])
    )
    scored = _scored(values, items, mask)
    guards = [Late(), Neighbours()][2 - guarded :]
    policy = _pl(temperature)
    slates = policy.decide(scored, k, guards, _seeded(seed))
    again = policy.log_prob(scored, slates, guards)
    torch.testing.assert_close(again, slates.log_probs, atol=1e-6, rtol=1e-6)
    _check_slates(scored, slates)
    greedy = _greedy().decide(scored, k, guards, generator)
    _check_slates(scored, greedy)
    assert (greedy.log_probs == 0).all()
    assert (_greedy().log_prob(scored, greedy, guards) == 0).all()


def _check_slates(scored: ScoredCandidates, slates: Slates) -> None:
    """Only allowed items, none twice, scores true, empty slots last and marked."""
    allowed = scored.utilities() > -torch.inf
    items = scored.candidates.expand(len(scored.queries))
    empty = slates.items < 0
    assert slates.log_probs.isfinite().all()
    assert torch.equal(slates.scores.isnan(), empty)
    assert (slates.log_probs[empty] == 0).all()
    for row in range(len(slates.items)):
        shown = slates.items[row][~empty[row]]
        assert len(set(shown.tolist())) == len(shown)
        permitted = items[row][allowed[row]].tolist()
        assert set(shown.tolist()) <= set(permitted)
        values = dict(zip(items[row].tolist(), scored.scores.values[row].tolist(), strict=True))
        assert slates.scores[row][~empty[row]].tolist() == [values[i] for i in shown.tolist()]


def test_unguarded_slates_are_as_long_as_possible() -> None:
    mask = torch.tensor([[True, False, True, True, False], [False] * 5])
    scored = _scored(torch.tensor([[1.0, 9.0, 3.0, NAN, 2.0], [1.0] * 5]), mask=mask)
    for policy in (_greedy(), _pl()):
        slates = policy.decide(scored, 7, [], _seeded())
        assert (slates.items >= 0).sum(1).tolist() == [2, 0]
    assert _greedy().decide(scored, 7, [], _seeded()).items[0].tolist() == [2, 0] + [-1] * 5


def test_greedy_takes_the_lower_column_of_equals_with_and_without_guards() -> None:
    scored = _scored(torch.tensor([[1.0, 2.0, 2.0, 2.0, 1.0]]), torch.tensor([50, 40, 30, 20, 10]))
    assert _greedy().decide(scored, 4, [], _seeded()).items.tolist() == [[40, 30, 20, 50]]
    assert _greedy().decide(scored, 4, [Late()], _seeded()).items.tolist() == [[40, 30, 20, 50]]


def test_greedy_weighs_scores_against_penalties_slot_by_slot() -> None:
    scored = _scored(torch.tensor([[1.0, 1.2, 1.1, 0.9]]))
    # 1 first; 0 and 2 are its neighbours, 3 is left; then 1's and 3's neighbours: 2 is next to 3.
    slates = _greedy().decide(scored, 3, [Neighbours()], _seeded())
    assert slates.items.tolist() == [[1, 3, 0]]


def test_greedy_log_prob_of_other_choices() -> None:
    scored = _scored(torch.tensor([[3.0, 2.0, 1.0]]).expand(4, -1))
    items = torch.tensor([[0, 1], [1, 0], [0, 2], [7, -1]])
    slates = Slates(items, items.float(), torch.zeros(4, 2))
    minus = -torch.inf
    assert _greedy().log_prob(scored, slates, []).tolist() == [
        [0.0, 0.0],
        [minus, 0.0],
        [0.0, minus],
        [minus, 0.0],
    ]


def test_repeated_and_forbidden_logged_items_are_impossible() -> None:
    scored = _scored(VALUES)
    items = torch.tensor([[2, 2, 1]])
    slates = Slates(items, items.float(), torch.zeros(1, 3))
    log_probs = _pl().log_prob(scored, slates, [Neighbours()])
    assert log_probs.isfinite().tolist() == [[True, False, False]]


def test_same_seed_same_slate_and_the_global_generator_is_left_alone() -> None:
    scored = _scored(torch.randn(20, 30))
    state = torch.random.get_rng_state()
    for guards in ([], [Neighbours()]):
        first, second = (_pl().decide(scored, 5, guards, _seeded(4)) for _ in range(2))
        assert torch.equal(first.items, second.items)
    assert torch.equal(state, torch.random.get_rng_state())


def test_no_candidates_at_all() -> None:
    scored = _scored(torch.empty(2, 0))
    for policy in (_greedy(), _pl()):
        for guards in ([], [Late()]):
            slates = policy.decide(scored, 3, guards, _seeded())
            assert slates.items.tolist() == [[-1] * 3] * 2
            assert slates.log_probs.abs().sum() == 0
        assert (policy.log_prob(scored, slates, []) == 0).all()


def test_low_temperature_is_greedy() -> None:
    scored = _scored(torch.randn(10, 12, generator=_seeded(1)))
    cold = _pl(1e-4).decide(scored, 5, [], _seeded()).items
    assert torch.equal(cold, _greedy().decide(scored, 5, [], _seeded()).items)
