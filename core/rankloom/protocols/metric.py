"""Metrics: how an answer is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

__all__ = ["Metric", "RankedBlock"]


@dataclass(frozen=True)
class RankedBlock:
    """Slates of a block of queries against their targets.

    Attributes:
        items: ``[q, k]`` shown items, best first, -1 where empty.
        hits: ``[q, k]`` bool: the item is one of the query's targets.
        n_targets: ``[q]`` number of targets, at least 1.
    """

    items: Tensor
    hits: Tensor
    n_targets: Tensor


@runtime_checkable
class Metric(Protocol):
    """A value for each query."""

    name: str
    """``ndcg``; reports print ``ndcg@k``."""

    def per_query(self, block: RankedBlock, k: int) -> Tensor:
        """Return ``[q]`` float64 values of the first ``k`` slots."""
        ...
