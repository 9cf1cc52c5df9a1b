"""A trained model as a scorer."""

from __future__ import annotations

import weakref

import torch

from rankloom.pipeline.item_table import ItemTable
from rankloom.pipeline.model import Model
from rankloom.protocols import CandidateBatch, Encoded, QueryBatch, Scores

__all__ = ["ModelHandle"]


class ModelHandle:
    """Answers ``score`` with a model's towers and one of its scorers.

    Args:
        model: The model.
        table: Its item vectors.
        task: Whose scorer answers; None for the first task's.
    """

    def __init__(self, model: Model, table: ItemTable, task: str | None = None) -> None:
        self.model = model
        self.table = table
        self.task = task
        self._last: tuple[weakref.ref[QueryBatch], int, Encoded, torch.Tensor] | None = None

    @torch.no_grad()
    def encode(self, queries: QueryBatch) -> tuple[Encoded, torch.Tensor]:
        """Return query vectors and ``[q]`` presence; the last batch is remembered."""
        if self._last is not None:
            ref, version, encoded, present = self._last
            if ref() is queries and version == self.table.version:
                return encoded, present
        was_training = self.model.training
        self.model.eval()
        vectors, present = self.model.encode_queries(queries, self.table.vectors)
        self.model.train(was_training)
        encoded = Encoded(vectors)
        self._last = (weakref.ref(queries), self.table.version, encoded, present)
        return encoded, present

    @torch.no_grad()
    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        """Score candidates; NaN where the item or the query is unknown to every encoder."""
        encoded, known = self.encode(queries)
        items = candidates.items.clamp(min=0)
        whole = candidates.shared and candidates.width == len(self.table)
        vectors = self.table.vectors if whole else self.table.vectors[items]
        present = self.table.present if whole else self.table.present[items]
        if candidates.shared and not whole:
            vectors, present = self.table.vectors[items], self.table.present[items]
        scorer = self.model.scorer(self.task)
        scores: Scores = scorer.score(
            queries.with_encoded(encoded), candidates.with_encoded(Encoded(vectors))
        )
        if bool(present.all()) and bool(known.all()):
            return scores
        there = present & known[:, None]
        values = scores.values.masked_fill(~there, torch.nan)
        return Scores(values, scores.scale)
