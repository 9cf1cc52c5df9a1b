"""The best allowed item in every slot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rankloom.nn.slates import fill_slots, pack_slates, rate_slots, silent, stable_topk
from rankloom.protocols import Build, Guard, ScoredCandidates, Slates
from rankloom_plugins.policies.plugin import GreedyConfig

__all__ = ["GreedyPolicy"]


class GreedyPolicy:
    """Deterministic: ties go to the lower candidate column, every log-probability is 0."""

    def __init__(self, config: GreedyConfig, build: Build) -> None:
        self.config = config

    def decide(
        self,
        scored: ScoredCandidates,
        k: int,
        guards: Sequence[Guard],
        generator: torch.Generator,
    ) -> Slates:
        """Fill ``k`` slots with the highest score less penalties; the generator is not used."""
        if not silent(guards):
            return fill_slots(scored, k, guards, _best)
        values, columns = stable_topk(scored.utilities(), k)
        if columns.shape[1] == k and min(values[:, -1].tolist(), default=0.0) > -math.inf:
            return Slates(scored.candidates.at(columns), values, torch.zeros_like(values))
        columns = torch.where(values > -torch.inf, columns, -1)
        if columns.shape[1] < k:
            columns = torch.nn.functional.pad(columns, (0, k - columns.shape[1]), value=-1)
        return pack_slates(scored, columns, values.new_zeros(columns.shape))

    def log_prob(
        self,
        scored: ScoredCandidates,
        slates: Slates,
        guards: Sequence[Guard],
        state: Mapping[str, Any] | None = None,
    ) -> Tensor:
        """Return ``[q, k]``: 0 where it would choose the logged item too, else -inf."""
        return rate_slots(scored, slates, guards, _agrees)

    def update(self, decisions: Any) -> None:
        """Learn nothing: the policy is fixed."""


def _best(support: Tensor) -> tuple[Tensor, Tensor]:
    columns = support.argmax(1)  # documented to return the first of equal maxima
    return columns, support.new_zeros(columns.shape)


def _agrees(support: Tensor, columns: Tensor) -> Tensor:
    same = support.argmax(1) == columns
    return torch.where(same, 0.0, -torch.inf).to(support)
