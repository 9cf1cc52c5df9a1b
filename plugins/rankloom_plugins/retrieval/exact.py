"""Exact inner-product search in blocks of items."""

from __future__ import annotations

import torch
from torch import Tensor

from rankloom.errors import NotFittedError
from rankloom.nn.slates import stable_topk
from rankloom.protocols import Build, CandidateBatch, QueryBatch, RaggedIndices
from rankloom_plugins.retrieval.plugin import ExactConfig

__all__ = ["ExactRetriever"]

#: Scores held at a time, in elements (64 MiB of float32).
_BLOCK_ELEMENTS = 1 << 24


class ExactRetriever:
    """Holds item vectors ``[n_items, d]``; rows with a NaN are items that cannot be retrieved.

    Scores are inner products: a cosine is one of vectors that were scaled before they came here.
    Ties go to the lower item index.
    """

    def __init__(self, config: ExactConfig, build: Build) -> None:
        self.model = config.model
        self.k = config.k
        self._index: tuple[Tensor, Tensor] | None = None

    def refresh(self, table: Tensor, rows: Tensor | None) -> None:
        """Take item vectors.

        The index is replaced, never written to, so that a retrieval under way keeps its snapshot.

        Args:
            table: ``[n_items, d]`` vectors of all items.
            rows: Only these changed or are new; None: all.
        """
        if rows is None or self._index is None or self._index[0].shape[1] != table.shape[1]:
            self._index = _searchable(table)
            return
        old, old_missing = self._index
        fresh, fresh_missing = _searchable(table[rows])
        vectors = old.new_zeros(table.shape)
        missing = old_missing.new_ones(table.shape[0])
        vectors[: old.shape[0]], missing[: old.shape[0]] = old, old_missing
        vectors[rows], missing[rows] = fresh, fresh_missing
        self._index = vectors, missing

    def retrieve(
        self, queries: QueryBatch, k: int, exclude: RaggedIndices | None
    ) -> CandidateBatch:
        """Return the best ``[q, k]`` items after exclusion, best first, -1 where there are fewer.

        A query without a usable vector (NaN) gets no candidate.

        Raises:
            NotFittedError: ``refresh`` was never called.
            ValueError: The queries carry no vectors, or of another width than the items.
        """
        vectors, missing = self._ready(queries)
        encoded = queries.encoded
        assert encoded is not None
        query_vectors = encoded.vectors.to(vectors)
        q, n = query_vectors.shape[0], vectors.shape[0]
        best = query_vectors.new_empty(q, 0)
        items = torch.empty(q, 0, dtype=torch.long, device=best.device)
        hidden = None if exclude is None else (exclude.row_ids(), exclude.values)
        step = max(min(n, _BLOCK_ELEMENTS // max(q, 1)), 1)
        for start in range(0, n, step):
            scores = query_vectors @ vectors[start : start + step].T
            scores.masked_fill_(missing[start : start + step] | scores.isnan(), -torch.inf)
            if hidden is not None:
                _hide(scores, start, *hidden)
            best, items = _merge(best, items, scores, start, k)
        items = torch.where(best > -torch.inf, items, -1)
        if items.shape[1] < k:
            items = torch.nn.functional.pad(items, (0, k - items.shape[1]), value=-1)
        return CandidateBatch(items, items >= 0)

    def _ready(self, queries: QueryBatch) -> tuple[Tensor, Tensor]:
        if self._index is None:
            raise NotFittedError(
                "The exact retriever holds no item vectors yet. Fit or load the pipeline first."
            )
        if queries.encoded is None:
            raise ValueError(
                "The exact retriever searches by query vectors and got none. "
                "Name a model with a query tower in 'retriever.model'."
            )
        vectors, missing = self._index
        width = queries.encoded.vectors.shape[1]
        if width != vectors.shape[1]:
            raise ValueError(
                f"Query vectors are {width} wide, item vectors {vectors.shape[1]}. The retriever "
                "and the queries must use the same model; check 'retriever.model'."
            )
        return vectors, missing


def _searchable(table: Tensor) -> tuple[Tensor, Tensor]:
    """A copy without NaN, and which rows had one."""
    table = table.detach()
    return table.nan_to_num(nan=0.0), table.isnan().any(1)


def _hide(scores: Tensor, start: int, rows: Tensor, items: Tensor) -> None:
    """Write -inf at the excluded items of this block."""
    inside = (items >= start) & (items < start + scores.shape[1])
    scores[rows[inside], items[inside] - start] = -torch.inf


def _merge(
    best: Tensor, items: Tensor, scores: Tensor, start: int, k: int
) -> tuple[Tensor, Tensor]:
    """The best ``k`` of those so far and of a block; earlier blocks win ties."""
    top, columns = stable_topk(scores, k)
    if not best.shape[1]:
        return top, columns + start
    merged, order = stable_topk(torch.cat([best, top], 1), k)
    return merged, torch.cat([items, columns + start], 1).gather(1, order)
