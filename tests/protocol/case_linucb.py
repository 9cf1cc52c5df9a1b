"""LinUCB on the pipeline's own vectors; every rewarded slot is one rank-one update."""

from typing import Any

import torch
from torch import Tensor

from rankloom.protocols import Decisions, ScoredCandidates, Slates


class LinUcb:
    def __init__(self, dim: int, alpha: float) -> None:
        self.alpha, self.precision, self.moment = alpha, torch.eye(dim), torch.zeros(dim)

    def decide(self, scored: ScoredCandidates, k: int, *args: Any, **kwargs: Any) -> Slates:
        x, inverse = scored.context().items, self.precision.inverse()
        upper = x @ inverse @ self.moment + self.alpha * ((x @ inverse) * x).sum(-1).sqrt()
        best = upper.masked_fill(scored.utilities() == -torch.inf, -torch.inf).topk(k)
        items = scored.candidates.expand(len(x)).gather(1, best.indices)
        items = items.where(best.values > -torch.inf, -1)
        return Slates(items, best.values, torch.zeros_like(best.values))

    def log_prob(self, scored: ScoredCandidates, slates: Slates, *_: Any, **__: Any) -> Tensor:
        again = self.decide(scored, slates.items.shape[1])
        return again.log_probs.masked_fill(again.items != slates.items, -torch.inf)

    def update(self, decisions: Decisions) -> None:
        shown = decisions.vectors()[decisions.rewarded]
        self.precision = self.precision + shown.T @ shown
        self.moment = self.moment + decisions.rewards[decisions.rewarded] @ shown
