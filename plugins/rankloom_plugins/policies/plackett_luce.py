"""Plackett-Luce: a softmax draw without replacement (Plackett, 1975; Luce, 1959)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rankloom.nn.slates import (
    fill_slots,
    gumbel,
    pack_slates,
    rate_slots,
    sequential_log_probs,
    silent,
    stable_topk,
)
from rankloom.protocols import Build, Guard, ScoredCandidates, Slates
from rankloom_plugins.policies.plugin import PlackettLuceConfig

__all__ = ["PlackettLucePolicy"]


class PlackettLucePolicy:
    """P(slot j = i | earlier slots) = softmax((score - penalty) / temperature) over what is left.

    Log-probabilities are exact and computed in double precision.
    """

    def __init__(self, config: PlackettLuceConfig, build: Build) -> None:
        self.temperature = config.temperature

    def decide(
        self,
        scored: ScoredCandidates,
        k: int,
        guards: Sequence[Guard],
        generator: torch.Generator,
    ) -> Slates:
        """Draw ``k`` slots.

        Without penalties the Gumbel top-k trick draws all slots in one sort (Kool et al., 2019).
        With penalties every slot gets fresh noise: they depend on the prefix, so that noise which
        lost an earlier slot is no longer an unbiased draw.
        """
        if not silent(guards):
            return fill_slots(scored, k, guards, lambda support: self._draw(support, generator))
        logits = self._logits(scored.utilities())
        noisy, columns = stable_topk(logits + gumbel(logits, generator), k)
        log_probs = sequential_log_probs(logits, columns)
        columns = torch.where(noisy > -torch.inf, columns, -1)
        missing = k - columns.shape[1]
        if missing:
            columns = F.pad(columns, (0, missing), value=-1)
            log_probs = F.pad(log_probs, (0, missing))
        return pack_slates(scored, columns, log_probs.to(scored.scores.values.dtype))

    def log_prob(
        self,
        scored: ScoredCandidates,
        slates: Slates,
        guards: Sequence[Guard],
        state: Mapping[str, Any] | None = None,
    ) -> Tensor:
        """Return ``[q, k]`` exact log-probabilities of logged choices; -inf where forbidden."""
        return rate_slots(scored, slates, guards, self._rate)

    def update(self, decisions: Any) -> None:
        """Learn nothing: the policy is fixed."""

    def _logits(self, utilities: Tensor) -> Tensor:
        return utilities.double() / self.temperature

    def _draw(self, support: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        logits = self._logits(support)
        columns = (logits + gumbel(logits, generator)).argmax(1)
        return columns, self._rate(support, columns)

    def _rate(self, support: Tensor, columns: Tensor) -> Tensor:
        logits = self._logits(support)
        return logits.gather(1, columns[:, None])[:, 0] - logits.logsumexp(1)
