"""Squared error on ratings."""

from __future__ import annotations

import torch
from torch import Tensor

from rankloom.nn.losses import weighted_mean
from rankloom.protocols import Build, CandidateRegime, ScoreFunction, TargetKind, TrainBatch
from rankloom_plugins.objectives.plugin import MSEConfig

__all__ = ["MSEObjective"]


class MSEObjective:
    """``(score - value)²``, a weighted mean over targets that have a value."""

    target: TargetKind = "rating"
    candidates: CandidateRegime = "none"

    def __init__(self, config: MSEConfig, build: Build) -> None:
        self.config = config

    def loss(self, batch: TrainBatch, score: ScoreFunction) -> Tensor:
        """Return the weighted mean squared error; 0 if no target has a value."""
        predicted = score(batch.target_candidates()).values[:, 0]
        known = ~batch.values.isnan()
        # Both branches of a where get a gradient: NaN must be gone before the subtraction.
        error = predicted - torch.where(known, batch.values, torch.zeros_like(batch.values))
        return weighted_mean(error.square(), batch.weights * known)

    def weight(self, batch: TrainBatch) -> Tensor:
        """Return the weight of the targets that have a value."""
        return (batch.weights * ~batch.values.isnan()).sum()
