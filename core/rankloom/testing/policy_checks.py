"""Checks of policies."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from rankloom.protocols import Context, Guard, ScoredCandidates, Scores, Slates
from rankloom.testing.compare import require, require_same
from rankloom.testing.doubles import FixedPenalty
from rankloom.testing.subject import Subject

__all__ = [
    "check_policy_empty_candidates",
    "check_policy_frequencies",
    "check_policy_log_prob_agrees",
    "check_policy_never_masked",
    "check_policy_obeys_guards",
    "check_policy_penalty_lowers",
    "check_policy_probabilities_sum_to_one",
    "check_policy_shapes",
]

_DRAWS = 2000


def check_policy_shapes(subject: Subject) -> None:
    """``[q, k]`` items, scores and log-probabilities; -1, NaN and 0 where a slot is empty."""
    component, scored = subject.fitted(), subject.world.scored()
    q, k = len(scored.queries), 8
    slates = _decide(component, scored, k)
    for name in ("items", "scores", "log_probs"):
        shape = tuple(getattr(slates, name).shape)
        require(shape == (q, k), f"{name} have shape {shape}, [q, k] is ({q}, {k})")
    empty = slates.items < 0
    require(bool((slates.items[empty] == -1).all()), "an empty slot is not -1")
    require(bool((slates.log_probs[empty] == 0).all()), "an empty slot's log-probability is not 0")
    require(bool(slates.scores[empty].isnan().all()), "an empty slot's score is not NaN")
    require(bool((slates.log_probs <= 1e-6).all()), "a log-probability is above 0")
    columns = _columns(scored, slates.items)
    shown = scored.scores.values.gather(1, columns)
    require_same(
        {"scores": shown[~empty]}, {"scores": slates.scores[~empty]}, "scores and slates' scores"
    )


def check_policy_never_masked(subject: Subject) -> None:
    """Neither masked nor unknown (NaN) candidates are shown, none twice, and all others can be."""
    component, scored = subject.fitted(), subject.world.scored()
    slates = _decide(component, scored, 8)
    usable = scored.utilities() > -torch.inf
    for row, items in enumerate(slates.items):
        real = items[items >= 0]
        allowed = scored.candidates.items[row][usable[row]]
        require(bool(torch.isin(real, allowed).all()), f"query {row} is shown a masked item")
        require(len(real.unique()) == len(real), f"query {row} is shown an item twice")
        require(len(real) == len(allowed), f"query {row}: {len(real)} of {len(allowed)} are shown")


def check_policy_log_prob_agrees(subject: Subject) -> None:
    """``log_prob`` gives a slate what ``decide`` said when it chose it."""
    component, scored = subject.fitted(), subject.world.scored()
    guards = [FixedPenalty(torch.linspace(-1, 1, len(subject.world.items)))]
    slates = _decide(component, scored, 4, guards)
    again = component.log_prob(scored, slates, guards)
    if slates.exact:
        require_same({"log_probs": slates.log_probs}, {"log_probs": again}, "decide and log_prob")


def check_policy_probabilities_sum_to_one(subject: Subject) -> None:
    """Over all ordered slates of two out of four candidates the probabilities sum to one."""
    component = subject.fitted()
    pairs = torch.tensor(list(itertools.permutations(range(4), 2)))
    scored = _repeated(subject, len(pairs))
    items = scored.candidates.items.gather(1, pairs)
    slates = Slates(items, torch.zeros(items.shape), torch.zeros(items.shape))
    if not _decide(component, scored, 2).exact:
        return
    total = component.log_prob(scored, slates, ()).sum(1).exp().sum()
    require(abs(float(total) - 1) < 1e-3, f"the probabilities of all slates sum to {float(total)}")


def check_policy_frequencies(subject: Subject) -> None:
    """Items are shown as often as their log-probabilities say (five standard deviations)."""
    component = subject.fitted()
    scored = _repeated(subject, _DRAWS)
    slates = _decide(component, scored, 1)
    if not slates.exact:
        return
    column = _columns(scored, slates.items)[:, 0]
    share = torch.bincount(column, minlength=4) / _DRAWS
    few = _repeated(subject, 4)
    first = few.candidates.items.gather(1, torch.arange(4)[:, None])
    chance = component.log_prob(few, Slates(first, torch.zeros(4, 1), torch.zeros(4, 1)), ()).exp()
    spread = (chance * (1 - chance) / _DRAWS).sqrt()[:, 0]
    off = (share - chance[:, 0]).abs() > 5 * spread + 1e-3
    require(
        not bool(off.any()),
        f"shown with frequencies {share.tolist()}, said to be {chance[:, 0].tolist()}",
    )


def check_policy_obeys_guards(subject: Subject) -> None:
    """An item that a guard forbids (``±inf``) is shown in no slot and has probability 0."""
    component, scored = subject.fitted(), subject.world.scored(gaps=False)
    best = scored.candidates.items.gather(1, scored.scores.values.argmax(1, keepdim=True))
    penalties = torch.zeros(len(subject.world.items))
    # Either infinity forbids: a slip of the sign must not force an item into the slate.
    penalties[best[::2, 0]] = torch.inf
    penalties[best[1::2, 0]] = -torch.inf
    guards = [FixedPenalty(penalties)]
    slates = _decide(component, scored, 3, guards)
    require(not bool(torch.isin(slates.items, best).any()), "a forbidden item is shown")
    forbidden = Slates(best, torch.zeros(best.shape), torch.zeros(best.shape))
    chance = component.log_prob(scored, forbidden, guards).exp()
    require(not bool(chance.any()), "a forbidden item has a probability above 0")


def check_policy_penalty_lowers(subject: Subject) -> None:
    """A finite penalty on an item does not raise its probability and leaves it in the slate."""
    component, scored = subject.fitted(), subject.world.scored(gaps=False)
    best = scored.candidates.items.gather(1, scored.scores.values.argmax(1, keepdim=True))
    first = Slates(best, torch.zeros(best.shape), torch.zeros(best.shape))
    before = component.log_prob(scored, first, ())
    for row in range(len(best)):
        penalties = torch.zeros(len(subject.world.items))
        penalties[best[row, 0]] = 5.0
        guards = [FixedPenalty(penalties)]
        after = component.log_prob(scored, first, guards)[row]
        lower = bool((after <= before[row] + 1e-6).all()) and not torch.equal(after, before[row])
        require(lower, "a penalty of 5 does not lower the probability of the best item")
        shown = _decide(component, scored, scored.candidates.width, guards).items[row]
        require(bool((shown == best[row]).any()), "a finite penalty takes an item out altogether")


def check_policy_empty_candidates(subject: Subject) -> None:
    """No candidates, or none that may be shown, give empty slates."""
    component = subject.fitted()
    full = subject.world.scored()
    masked = replace(full.candidates, mask=torch.zeros(full.scores.values.shape, dtype=torch.bool))
    for scored in (subject.world.scored(0), replace(full, candidates=masked)):
        try:
            slates = _decide(component, scored, 3)
        except Exception as error:
            raise AssertionError(f"no candidates: {type(error).__name__}: {error}") from error
        require(bool((slates.items == -1).all()), "without candidates something is shown")
        require(
            tuple(slates.items.shape)[1] == 3, "without candidates the slate has another length"
        )


def _decide(
    component: Any, scored: ScoredCandidates, k: int, guards: Sequence[Guard] = ()
) -> Slates:
    slates: Slates = component.decide(scored, k, guards, torch.Generator().manual_seed(5))
    require(isinstance(slates, Slates), f"decide returned {type(slates).__name__}, not Slates")
    return slates


def _columns(scored: ScoredCandidates, items: Tensor) -> Tensor:
    """Return ``[q, k]`` candidate columns of items (0 for empty slots)."""
    match = scored.candidates.items[:, None] == items[..., None]
    return match.int().argmax(-1)


def _repeated(subject: Subject, q: int) -> ScoredCandidates:
    """Return ``q`` times the same query with the same four scored candidates."""
    world = subject.world
    queries = world.queries.select(torch.zeros(q, dtype=torch.long))
    items = torch.tensor([7, 2, 5, 0]).expand(q, -1)
    values = torch.tensor([0.5, -0.3, 1.1, 0.0]).expand(q, -1)
    context = Context(world.query_vectors[:1].expand(q, -1), world.item_vectors[items], version=0)
    return ScoredCandidates(queries, world.candidates(items), Scores(values), lambda _: context)
