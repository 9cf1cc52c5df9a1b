"""Policies: scored candidates to slates with the probability of that choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from rankloom.protocols.decisions import Decisions
from rankloom.protocols.guard import Guard
from rankloom.protocols.scores import ScoredCandidates
from rankloom.protocols.slates import Slates

__all__ = ["Policy"]


@runtime_checkable
class Policy(Protocol):
    """Chooses slates; nothing changes a slate afterwards, so log-probabilities are true."""

    def decide(
        self,
        scored: ScoredCandidates,
        k: int,
        guards: Sequence[Guard],
        generator: torch.Generator,
    ) -> Slates:
        """Fill ``k`` slots, guards asked slot by slot; -1 and 0 where nothing is allowed."""
        ...

    def log_prob(
        self,
        scored: ScoredCandidates,
        slates: Slates,
        guards: Sequence[Guard],
        state: Mapping[str, Any] | None = None,
    ) -> Tensor:
        """Return ``[q, k]``: what the policy would have given to logged choices."""
        ...

    def update(self, decisions: Decisions) -> None:
        """Learn from decisions joined with their rewards; a fixed policy ignores them."""
        ...
