"""Checks of scorers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import torch
from torch import Tensor

from rankloom.protocols import CandidateBatch, Encoded, History, QueryBatch, Scale, Scores
from rankloom.testing.compare import require, require_same
from rankloom.testing.subject import Subject
from rankloom.testing.world import COLD

__all__ = [
    "check_scorer_empty_candidates",
    "check_scorer_extends",
    "check_scorer_padding_invariant",
    "check_scorer_permutation_equivariant",
    "check_scorer_samples",
    "check_scorer_shapes",
    "check_scorer_shared_candidates",
    "check_scorer_unknown_is_nan",
]


@torch.no_grad()
def check_scorer_shapes(subject: Subject) -> None:
    """Values are ``[q, n]`` floats on a known scale; ``std`` likewise; some are known."""
    component, world = subject.fitted(), subject.world
    scores = component.score(world.queries, world.candidates())
    require(isinstance(scores, Scores), f"score returned {type(scores).__name__}, not Scores")
    expected = (len(world.queries), len(world.items))
    shape = tuple(scores.values.shape)
    require(shape == expected, f"values have shape {shape}, [q, n] is {expected}")
    require(scores.values.is_floating_point(), f"values are {scores.values.dtype}")
    require(not bool(scores.values.isinf().any()), "a score is infinite; unknown is NaN")
    require(bool((~scores.values.isnan()).any()), "every score is NaN")
    require(scores.scale in get_args(Scale), f"scale is {scores.scale!r}")
    if scores.std is not None:
        require(scores.std.shape == scores.values.shape, "std and values differ in shape")
        require(not bool((scores.std < 0).any()), "a standard deviation is negative")


@torch.no_grad()
def check_scorer_shared_candidates(subject: Subject) -> None:
    """Candidates shared by all queries, ``[n]``, score like the same ones given to each."""
    component, world = subject.fitted(), subject.world
    items = torch.tensor([3, 9, 0, 7])
    own = items.expand(len(world.queries), -1)
    require_same(
        {"values": component.score(world.queries, world.candidates(items)).values},
        {"values": component.score(world.queries, world.candidates(own)).values},
        "candidates [n] and [q, n]",
    )


@torch.no_grad()
def check_scorer_permutation_equivariant(subject: Subject) -> None:
    """The order of the candidates moves the scores along and changes none."""
    component, world = subject.fitted(), subject.world
    order = torch.randperm(len(world.items), generator=torch.Generator().manual_seed(4))
    straight = component.score(world.queries, world.candidates()).values
    moved = component.score(world.queries, world.candidates(order)).values
    require_same({"values": straight[:, order]}, {"values": moved}, "candidates in another order")


@torch.no_grad()
def check_scorer_padding_invariant(subject: Subject) -> None:
    """Padding (-1) at the end changes no score of a real candidate and is no error."""
    component, world = subject.fitted(), subject.world
    items = torch.tensor([3, 9, 0, 7])
    padded = torch.cat([items, torch.tensor([-1, -1])])
    try:
        found = component.score(world.queries, world.candidates(padded)).values
    except Exception as error:
        raise AssertionError(f"padded candidates: {type(error).__name__}: {error}") from error
    plain = component.score(world.queries, world.candidates(items)).values
    require_same({"values": plain}, {"values": found[:, :4]}, "without padding and with it")


@torch.no_grad()
def check_scorer_empty_candidates(subject: Subject) -> None:
    """No candidates give ``[q, 0]``."""
    component, world = subject.fitted(), subject.world
    none = torch.empty(0, dtype=torch.long)
    q = len(world.queries)
    for items in (none, none.expand(q, 0)):
        try:
            values = component.score(world.queries, world.candidates(items)).values
        except Exception as error:
            raise AssertionError(f"no candidates: {type(error).__name__}: {error}") from error
        require(tuple(values.shape) == (q, 0), f"no candidates give shape {tuple(values.shape)}")


@torch.no_grad()
def check_scorer_unknown_is_nan(subject: Subject) -> None:
    """A closed form says NaN, not zero, where it knows nothing: no history, or a cold item."""
    component, world = subject.fitted(), subject.world
    # A blend answers with whichever part knows something; its parts are checked themselves.
    closed = hasattr(component, "fit") and not hasattr(component, "children")
    if not closed or subject.spec.needs_vectors:
        return
    values = component.score(world.queries, world.candidates()).values
    cold = values[:, COLD[1]]
    require(
        bool(cold.isnan().all()) or bool(cold.nan_to_num().any()),
        "an item without any interaction scores 0 for everyone; unknown is NaN",
    )
    stranger = _stranger(world.queries)
    unknown = component.score(stranger, world.candidates()).values
    if _reads_history(component, world.queries, world.candidates()):
        require(
            bool(unknown.isnan().all()),
            "a new user without a history gets scores from a closed form that reads the history; "
            "unknown is NaN",
        )


def check_scorer_samples(subject: Subject) -> None:
    """``sample`` draws ``[q, n]`` with the generator alone; the same seed gives the same draw."""
    component, world = subject.fitted(), subject.world
    scores = component.score(world.queries, world.candidates())
    if scores.sample is None:
        return
    first = scores.sample(torch.Generator().manual_seed(1))
    again = scores.sample(torch.Generator().manual_seed(1))
    require(first.shape == scores.values.shape, "a sample and the values differ in shape")
    require_same({"sample": first}, {"sample": again}, "two samples of one seed", rtol=0, atol=0)
    others = [scores.sample(torch.Generator().manual_seed(seed)) for seed in range(2, 8)]
    differ = any(not torch.equal(first.nan_to_num(), other.nan_to_num()) for other in others)
    require(differ, "every seed draws the same sample")


@torch.no_grad()
def check_scorer_extends(subject: Subject) -> None:
    """After ``extend`` an added item can be asked for and the others score as before."""
    component, world = subject.fitted(), subject.world
    if not hasattr(component, "extend"):
        return
    n = len(world.items)
    before = component.score(world.queries, world.candidates()).values
    component.extend(n + 2)
    vectors = torch.cat([world.item_vectors, world.item_vectors[:2]])
    more = CandidateBatch(torch.arange(n + 2), encoded=Encoded(vectors))
    try:
        after = component.score(world.queries, more).values
    except Exception as error:
        raise AssertionError(f"after extend: {type(error).__name__}: {error}") from error
    if not subject.spec.flags.get("listwise", False):
        require_same({"values": before}, {"values": after[:, :n]}, "before extend and after")
    zero = (after[:, n:] == 0).all() and not subject.spec.needs_vectors
    require(not bool(zero), "an item that was added scores 0 for everyone; unknown is NaN")


def _stranger(queries: QueryBatch) -> QueryBatch:
    one = queries.select(torch.tensor([0]))
    none = History.empty(1)
    return replace(one, users=torch.tensor([-1]), history=none, seen=none.items)


def _reads_history(component: Any, queries: QueryBatch, candidates: CandidateBatch) -> bool:
    """Return True if the same user with two histories gets two answers."""
    rows = queries.select(torch.tensor([0, 0]))
    other = replace(rows, history=queries.history.select(torch.tensor([0, 2])))
    values: Tensor = component.score(other, candidates).values
    left, right = values
    return not torch.equal(left.isnan(), right.isnan()) or not torch.allclose(
        left.nan_to_num(), right.nan_to_num()
    )
