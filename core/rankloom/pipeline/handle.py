"""A trained model as a scorer."""

from __future__ import annotations

import weakref
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from rankloom.pipeline.contracts import check_scores
from rankloom.pipeline.item_table import ItemTable
from rankloom.pipeline.model import Model
from rankloom.protocols import CandidateBatch, Encoded, QueryBatch, Scores

__all__ = ["ModelHandle"]


class ModelHandle:
    """Answers ``score`` with a model's towers and one of its scorers.

    Batches may live on any device: they are moved to the table's, and answers come back to where
    the queries are.

    Args:
        model: The model.
        table: Its item vectors.
        task: Whose scorer answers; None for the first task's.
    """

    def __init__(self, model: Model, table: ItemTable, task: str | None = None) -> None:
        self.model = model
        self.table = table
        self.task = task
        self._last: tuple[weakref.ref[QueryBatch], int, Encoded, Tensor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is remembered: a weak reference cannot go to another process."""
        return {**self.__dict__, "_last": None}

    def encode(self, queries: QueryBatch) -> tuple[Encoded, Tensor]:
        """Return query encodings and ``[q]`` presence; the last batch is remembered."""
        if self._last is not None:
            ref, version, encoded, present = self._last
            if ref() is queries and version == self.table.version:
                return encoded, present
        with _no_grad():
            return self._encode(queries)

    def _encode(self, queries: QueryBatch) -> tuple[Encoded, Tensor]:
        vectors = self.table.vectors
        was_training = self.model.training
        if was_training:
            self.model.eval()
        encoded, present = self.model.encode_queries(queries.to(vectors.device), vectors)
        if was_training:
            self.model.train()
        if vectors.device != queries.device:
            encoded, present = encoded.to(queries.device), present.to(queries.device)
        self._last = (weakref.ref(queries), self.table.version, encoded, present)
        return encoded, present

    def parts(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Return what each item encoder says of the whole catalog; see :meth:`ItemTable.parts`."""
        return self.table.parts()

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        """Score candidates; NaN where the item or the query is unknown to every encoder."""
        with _no_grad():
            return self._score(queries, candidates)

    def _score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        home, device = queries.device, self.table.vectors.device
        encoded, known = self.encode(queries)
        ready = queries.with_encoded(encoded).to(device)
        offered = candidates.to(device)
        vectors, present = self.table.encodings(offered)
        offered = offered.with_encoded(vectors)
        fields = self.model.fields_of(self.task)
        if fields is not None:
            ready, offered = fields.attach(ready, offered)
        scorer = self.model.scorer(self.task)
        scores = check_scores(scorer, scorer.score(ready, offered), len(queries), candidates.width)
        if not all(known.tolist()):
            present = present & known.to(device)[:, None]
        elif present is self.table.present:
            if not self.table.complete:
                scores = scores.plus(self.table.unknown)
            return scores.to(home)
        return scores.masked(present).to(home)


def _no_grad() -> AbstractContextManager[object]:
    """Gradients off, where they are not already: a request runs in inference mode."""
    return torch.no_grad() if torch.is_grad_enabled() else nullcontext()
