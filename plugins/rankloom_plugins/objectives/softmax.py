"""Cross-entropy over the training universe, whole or sampled."""

from __future__ import annotations

from torch import Tensor

from rankloom.nn.losses import chunked_cross_entropy, cross_entropy, sampled_cross_entropy
from rankloom.protocols import Build, CandidateRegime, ScoreFunction, TargetKind, TrainBatch
from rankloom_plugins.objectives.plugin import SoftmaxConfig

__all__ = ["SoftmaxObjective"]

_BYTES_PER_LOGIT = 4


class SoftmaxObjective:
    """``-log softmax(score)[target]`` over all items of the training universe.

    With ``candidates: sampled`` the sum over the universe is estimated from the negatives drawn,
    each weighted by one over how often it was to be expected (logQ correction).
    """

    target: TargetKind = "positive"

    def __init__(self, config: SoftmaxConfig, build: Build) -> None:
        self.candidates: CandidateRegime = config.candidates
        self.label_smoothing = config.label_smoothing
        self.budget = int(config.logits_budget_mb * 2**20)

    def loss(self, batch: TrainBatch, score: ScoreFunction) -> Tensor:
        """Return the weighted mean loss, in chunks of items once logits exceed the budget."""
        if self.candidates == "sampled":
            return sampled_cross_entropy(score, batch, self.label_smoothing)
        row_bytes = max(len(batch), 1) * _BYTES_PER_LOGIT
        width = 0 if batch.candidates is None else batch.candidates.width
        if row_bytes * width <= self.budget:
            return cross_entropy(score, batch, self.label_smoothing)
        return chunked_cross_entropy(
            score, batch, max(self.budget // row_bytes, 1), self.label_smoothing
        )
