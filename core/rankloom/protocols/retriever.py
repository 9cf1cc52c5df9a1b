"""Retrievers: a query to candidates out of the whole catalog."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from rankloom.protocols.batches import CandidateBatch, QueryBatch
from rankloom.protocols.ragged import RaggedIndices

__all__ = ["Retriever"]


@runtime_checkable
class Retriever(Protocol):
    """Query vectors → candidates. ``model`` names the model whose vectors it searches."""

    def refresh(self, table: Tensor, rows: Tensor | None) -> None:
        """Take item vectors ``[n_items, d]``; ``rows``: only these changed or are new."""
        ...

    def retrieve(
        self, queries: QueryBatch, k: int, exclude: RaggedIndices | None
    ) -> CandidateBatch:
        """Return ``[q, k]`` candidates, best first; ``k`` remain after exclusion.

        ``queries.encoded`` holds the model's query vectors. Short rows end in -1, masked.
        """
        ...
