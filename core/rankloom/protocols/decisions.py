"""What came of slates: decisions joined with their rewards, and steps of an episode."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rankloom.protocols.batches import CandidateBatch, QueryBatch
from rankloom.protocols.scores import ScoredCandidates
from rankloom.protocols.slates import Slates

__all__ = ["Decisions", "Transition"]


def _columns(candidates: CandidateBatch, slates: Slates) -> Tensor:
    """``[q, k]`` column of each shown item among the candidates, -1 where it is none of them."""
    shown = slates.items
    match = candidates.expand(shown.shape[0])[:, None] == shown[..., None]
    if not match.shape[2]:
        return torch.full_like(shown, -1)
    found, columns = match.max(2)
    return torch.where(found & (shown >= 0), columns, -1)


@dataclass(frozen=True)
class Decisions:
    """``q`` decisions joined with what came back for them.

    Attributes:
        scored: What the policy decided on: queries, candidates, scores, and the vectors of that
            moment (``scored.context()``, with their version).
        slates: ``[q, k]`` what was shown, with the log-probabilities it was shown with.
        rewards: ``[q, k]`` float32, NaN where nothing came back for a slot.
    """

    scored: ScoredCandidates
    slates: Slates
    rewards: Tensor

    def __len__(self) -> int:
        return int(self.rewards.shape[0])

    @property
    def rewarded(self) -> Tensor:
        """``[q, k]`` bool: something was shown in the slot, and its reward is known."""
        return (self.slates.items >= 0) & ~self.rewards.isnan() & (self.columns() >= 0)

    def columns(self) -> Tensor:
        """``[q, k]`` column of each shown item among the candidates, -1 at empty slots."""
        return _columns(self.scored.candidates, self.slates)

    def vectors(self, model: str | None = None) -> Tensor:
        """Return ``[q, k, d]`` item vectors of what was shown; those at empty slots mean nothing.

        Raises:
            LookupError: The pipeline has no model with vectors.
        """
        items = self.scored.context(model).items
        at = self.columns().clamp(min=0)
        return items.gather(1, at[..., None].expand(-1, -1, items.shape[2]))


@dataclass(frozen=True)
class Transition:
    """``q`` steps of episodes, out of the log or of a simulator.

    Attributes:
        queries: What was asked.
        candidates: What could be shown.
        slates: ``[q, k]`` what was shown; ``log_probs`` are those of the behaviour policy.
        rewards: ``[q, k]`` float32 per slot, 0 at empty ones.
        next_queries: ``q`` queries that followed; those of finished episodes mean nothing.
        done: ``[q]`` bool: the episode ended with this step.
        discount: ``[q]`` float32: what a reward one step later is worth.
    """

    queries: QueryBatch
    candidates: CandidateBatch
    slates: Slates
    rewards: Tensor
    next_queries: QueryBatch
    done: Tensor
    discount: Tensor

    def __len__(self) -> int:
        return int(self.done.shape[0])

    def columns(self) -> Tensor:
        """``[q, k]`` column of each shown item among the candidates, -1 at empty slots."""
        return _columns(self.candidates, self.slates)

    def returns(self, value: Tensor) -> Tensor:
        """Return ``[q]``: rewards of the slate plus the discounted ``value [q]`` of what follows.

        A finished episode has no value beyond its rewards, whatever ``value`` says there.
        """
        after = torch.where(self.done, torch.zeros_like(value), value)
        return self.rewards.sum(1) + self.discount * after
