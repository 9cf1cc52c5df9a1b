"""Scorers: queries × candidates to scores."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from rankloom.protocols.batches import CandidateBatch, QueryBatch
from rankloom.protocols.scores import Scores

__all__ = ["Scorer"]


@runtime_checkable
class Scorer(Protocol):
    """Queries × candidates → scores; one signature for every kind of model.

    Optional: ``fit(train)`` for closed forms, ``calibrate(validation)``, ``extend(n_items)``,
    ``export_state()`` / ``import_state()``.
    """

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        """Score every query with every candidate.

        Returns:
            Scores with values ``[q, n]``; NaN where the pair cannot be scored. A closed form with
            nothing usable in a query's history returns NaN for the whole row.
        """
        ...
