"""Rating and click at once: two objectives, each with its own target, over the shared towers."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from rankloom.protocols import CandidateRegime, Objective, ScoreFunction, TargetKind, TrainBatch


class RatingMse:
    target: TargetKind = "rating"
    candidates: CandidateRegime = "none"

    def loss(self, batch: TrainBatch, score: ScoreFunction) -> Tensor:
        error = score(batch.target_candidates()).values[:, 0] - batch.values
        return (batch.weights * error**2).sum() / batch.weights.sum()


class ClickSoftmax:
    target: TargetKind = "positive"
    candidates: CandidateRegime = "batch"

    def loss(self, batch: TrainBatch, score: ScoreFunction) -> Tensor:
        assert batch.candidates
        logits = score(batch.candidates).values
        return nn.functional.cross_entropy(logits, torch.arange(len(batch)))


def total(tasks: Iterable[tuple[float, Objective, TrainBatch, ScoreFunction]]) -> Tensor:
    return torch.stack([w * goal.loss(batch, score) for w, goal, batch, score in tasks]).sum()
