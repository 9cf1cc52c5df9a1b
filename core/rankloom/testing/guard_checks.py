"""Checks of guards."""

from __future__ import annotations

import torch

from rankloom.protocols import RaggedIndices, Slates
from rankloom.testing.compare import require
from rankloom.testing.subject import Subject

__all__ = [
    "check_guard_empty_candidates",
    "check_guard_excludes",
    "check_guard_observes",
    "check_guard_penalty",
    "check_guard_reason",
]


def check_guard_reason(subject: Subject) -> None:
    """The reason is words that a trace can print."""
    reason = subject.fitted().reason
    require(
        isinstance(reason, str) and bool(reason.strip()), f"reason is {reason!r}; words are wanted"
    )


@torch.no_grad()
def check_guard_excludes(subject: Subject) -> None:
    """``exclude`` gives one row of known item indices a query, or None."""
    component, world = subject.fitted(), subject.world
    excluded = component.exclude(world.queries)
    if excluded is None:
        return
    require(isinstance(excluded, RaggedIndices), f"exclude returned {type(excluded).__name__}")
    rows = len(excluded)
    require(rows == len(world.queries), f"{rows} rows for {len(world.queries)} queries")
    inside = (excluded.values >= 0) & (excluded.values < len(world.items))
    require(bool(inside.all()), "an excluded index is no item of the catalog")


@torch.no_grad()
def check_guard_penalty(subject: Subject) -> None:
    """``penalty`` is ``[q, n]`` for every prefix and never NaN (±inf forbids)."""
    component, scored = subject.fitted(), subject.world.scored()
    shape = tuple(scored.scores.values.shape)
    for width in (0, 1, 2):
        penalty = component.penalty(scored, scored.candidates.items[:, :width])
        if penalty is None:
            continue
        found = tuple(penalty.shape)
        require(found == shape, f"penalties have shape {found}, [q, n] is {shape}")
        require(not bool(penalty.isnan().any()), "a penalty is NaN")


@torch.no_grad()
def check_guard_empty_candidates(subject: Subject) -> None:
    """No candidates give no penalty."""
    component, world = subject.fitted(), subject.world
    scored = world.scored(0)
    prefix = torch.full((len(world.queries), 1), -1)
    try:
        penalty = component.penalty(scored, prefix)
    except Exception as error:
        raise AssertionError(f"no candidates: {type(error).__name__}: {error}") from error
    q = len(world.queries)
    if penalty is not None:
        shape = tuple(penalty.shape)
        require(shape == (q, 0), f"no candidates give penalties of shape {shape}")


def check_guard_observes(subject: Subject) -> None:
    """``observe`` takes slates with empty slots."""
    component = subject.fitted()
    items = torch.tensor([[1, 2, -1], [-1, -1, -1]])
    scores = torch.where(items >= 0, torch.ones(2, 3), torch.full((2, 3), torch.nan))
    try:
        component.observe(Slates(items, scores, torch.zeros(2, 3)))
    except Exception as error:
        raise AssertionError(f"slates with empty slots: {type(error).__name__}: {error}") from error
