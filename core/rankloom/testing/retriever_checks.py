"""Checks of retrievers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from rankloom.protocols import CandidateBatch, Encoded, QueryBatch, RaggedIndices
from rankloom.testing.compare import require
from rankloom.testing.subject import Subject

__all__ = [
    "check_retriever_best_first",
    "check_retriever_excludes",
    "check_retriever_refreshes_rows",
    "check_retriever_short_rows",
]


@torch.no_grad()
def check_retriever_best_first(subject: Subject) -> None:
    """``[q, k]`` distinct items, the nearest first; an item of length 1 is nearest to itself."""
    component, world = subject.fitted(), subject.world
    component.refresh(world.item_vectors, None)
    rows = torch.arange(len(world.queries))
    found = _retrieve(component, _asking(world.queries, world.item_vectors[rows]), 4)
    require(
        tuple(found.items.shape) == (len(rows), 4), f"items have shape {tuple(found.items.shape)}"
    )
    require(found.items.dtype == torch.long, f"items are {found.items.dtype}")
    nearest = (world.item_vectors[rows] @ world.item_vectors.T).topk(4).indices
    require(bool((found.items[:, 0] == rows).all()), "an item is not the nearest to itself")
    require(bool((found.items == nearest).all()), "the nearest are not first, or not in order")


@torch.no_grad()
def check_retriever_excludes(subject: Subject) -> None:
    """Excluded items never come back, and ``k`` remain without them."""
    component, world = subject.fitted(), subject.world
    component.refresh(world.item_vectors, None)
    k = 5
    found = _retrieve(component, world.queries, k, world.queries.seen)
    for row in range(len(world.queries)):
        items = found.items[row][found.allowed(len(world.queries))[row]]
        seen = world.queries.seen[row]
        require(not bool(torch.isin(items, seen).any()), f"query {row} gets an excluded item")
        left = min(k, len(world.items) - len(seen))
        require(len(items) == left, f"query {row} gets {len(items)} items, {left} were possible")


@torch.no_grad()
def check_retriever_short_rows(subject: Subject) -> None:
    """With fewer items than ``k`` a row ends in -1, and those are masked."""
    component, world = subject.fitted(), subject.world
    component.refresh(world.item_vectors, None)
    n = len(world.items)
    all_but_two = RaggedIndices.from_lists([list(range(2, n)) for _ in range(len(world.queries))])
    try:
        found = _retrieve(component, world.queries, n + 3, all_but_two)
    except Exception as error:
        raise AssertionError(f"k beyond the catalog: {type(error).__name__}: {error}") from error
    allowed = found.allowed(len(world.queries))
    require(bool((allowed.sum(1) == 2).all()), "two items are left, not two are offered")
    require(bool(allowed[:, :2].all()), "masked entries come before real ones")
    require(bool((found.items[~allowed] == -1).all()), "entries beyond the last item are not -1")


@torch.no_grad()
def check_retriever_refreshes_rows(subject: Subject) -> None:
    """Refreshing some rows is refreshing the whole; appended rows are found."""
    component, other = subject.fitted(), subject.fitted()
    world = subject.world
    grown = torch.cat([world.item_vectors, -world.item_vectors[:2]])
    grown[3] = -grown[3]
    component.refresh(world.item_vectors, None)
    component.refresh(grown, torch.tensor([3, len(grown) - 2, len(grown) - 1]))
    other.refresh(grown, None)
    left = _retrieve(component, world.queries, len(grown))
    right = _retrieve(other, world.queries, len(grown))
    require(bool((left.items == right.items).all()), "after refreshing rows the answer is another")


def _asking(queries: QueryBatch, vectors: Tensor) -> QueryBatch:
    return replace(queries, encoded=Encoded(vectors))


def _retrieve(
    component: Any, queries: QueryBatch, k: int, exclude: RaggedIndices | None = None
) -> CandidateBatch:
    found = component.retrieve(queries, k, exclude)
    require(isinstance(found, CandidateBatch), f"retrieve returned {type(found).__name__}")
    for row in found.items:
        real = row[row >= 0]
        require(len(real.unique()) == len(real), "an item comes twice")
    result: CandidateBatch = found
    return result
