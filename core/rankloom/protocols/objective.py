"""Objectives: what gradient training minimises."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from rankloom.protocols.training import ScoreFunction, TargetKind, TrainBatch

__all__ = ["CandidateRegime", "Objective"]

CandidateRegime = Literal["catalog", "sampled", "batch", "none"]


@runtime_checkable
class Objective(Protocol):
    """A loss over a batch of queries with targets.

    Attributes:
        target: ``positive`` (positives only) or ``rating`` (every row with a value).
        candidates: What the batch must carry in ``candidates``.
    """

    target: TargetKind
    candidates: CandidateRegime

    def loss(self, batch: TrainBatch, score: ScoreFunction) -> Tensor:
        """Return the weighted mean loss, a scalar.

        ``score(candidates)`` scores over ``batch.queries`` and may be called in chunks. The mean
        is over ``batch.weights``, unless the objective says otherwise with an optional
        ``weight(batch) -> Tensor``: the sum of the weights that its mean is over. Core needs it to
        put the means of several processes together.
        """
        ...
