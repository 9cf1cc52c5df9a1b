"""Plain components that stand beside the one under test."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rankloom.protocols import (
    CandidateBatch,
    Encoded,
    Features,
    GuardBase,
    QueryBatch,
    ScoredCandidates,
    Scores,
)

__all__ = ["FixedPenalty", "InnerProduct", "WordEncoder"]


class WordEncoder(nn.Module):
    """Mean of a trained vector a word, words being hashed to 64 rows."""

    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        self.dim = dim
        self.words = nn.Embedding(65, dim, padding_idx=0)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            self.words.weight[1:] = torch.randn(64, dim, generator=generator)

    def collate(self, values: Sequence[Any]) -> Features:
        """Hash the words of each text."""
        rows = [
            [zlib.crc32(word.encode()) % 64 + 1 for word in str(value or "").split()]
            for value in values
        ]
        width = max([1, *(len(row) for row in rows)])
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], dtype=torch.long)
        present = torch.tensor([value is not None for value in values], dtype=torch.bool)
        return Features({"ids": ids.reshape(len(rows), width)}, present)

    def precompute(self, features: Features) -> Features:
        """Everything trains."""
        return features

    def forward(self, features: Features) -> Encoded:
        """Return the mean vector of each text."""
        ids = features["ids"]
        total = (ids > 0).sum(1, keepdim=True).clamp(min=1)
        return Encoded(self.words(ids).sum(1) / total)


class InnerProduct:
    """The inner product of the vectors that the batches carry.

    Args:
        vectors: ``[n_items, d]`` of the catalog, for what reads a model's item encoders.
    """

    def __init__(self, vectors: Tensor | None = None) -> None:
        self.vectors = vectors

    def parts(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Return the catalog's vectors as those of one item encoder, all present."""
        vectors = torch.zeros(0, 1) if self.vectors is None else self.vectors
        return {"vectors": (vectors, torch.ones(len(vectors), dtype=torch.bool))}

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        """Score ``[q, n]``.

        Raises:
            LookupError: The batches carry no vectors.
        """
        if queries.encoded is None or candidates.encoded is None:
            raise LookupError("inner product of batches without vectors")
        items = candidates.encoded.vectors
        form = "qd,nd->qn" if candidates.shared else "qd,qnd->qn"
        return Scores(torch.einsum(form, queries.encoded.vectors, items))


class FixedPenalty(GuardBase):
    """Takes the same penalty off an item in every slot.

    Args:
        penalties: ``[n_items]``; an infinite one forbids.
    """

    reason = "test penalty"

    def __init__(self, penalties: Tensor) -> None:
        self.penalties = penalties

    def penalty(self, scored: ScoredCandidates, prefix: Tensor) -> Tensor:
        """Return ``[q, n]``."""
        items = scored.candidates.expand(len(scored.queries)).clamp(min=0)
        return self.penalties[items]
