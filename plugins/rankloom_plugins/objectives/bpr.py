"""Bayesian personalised ranking (Rendle et al., 2009)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from rankloom.nn.losses import weighted_mean
from rankloom.protocols import Build, CandidateRegime, ScoreFunction, TargetKind, TrainBatch
from rankloom_plugins.objectives.plugin import BPRConfig

__all__ = ["BPRObjective"]


class BPRObjective:
    """``-log sigmoid(score(target) - score(negative))``, a mean over each target's negatives.

    Masked negatives (accidental hits, padding) do not count; a row without any is left out.
    """

    target: TargetKind = "positive"
    candidates: CandidateRegime = "sampled"

    def __init__(self, config: BPRConfig, build: Build) -> None:
        self.config = config

    def loss(self, batch: TrainBatch, score: ScoreFunction) -> Tensor:
        """Return the weighted mean loss over ``batch.candidates`` ``[q, s]`` or ``[s]``."""
        if batch.candidates is None:
            raise ValueError("bpr compares the target with sampled negatives; the batch has none.")
        positive = score(batch.target_candidates()).values
        negative = score(batch.candidates).values
        counted = batch.candidates.allowed(len(batch)).to(negative.dtype)
        losses = -F.logsigmoid(positive - negative) * counted
        n = counted.sum(1)
        return weighted_mean(losses.sum(1) / n.clamp(min=1), batch.weights * (n > 0))

    def weight(self, batch: TrainBatch) -> Tensor:
        """Return the weight of the rows that have a negative."""
        if batch.candidates is None:
            return batch.weights.sum()
        return (batch.weights * batch.candidates.allowed(len(batch)).any(1)).sum()
