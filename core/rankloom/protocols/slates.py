"""What a policy shows."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Slates"]


@dataclass(frozen=True)
class Slates:
    """``k`` slots for each of ``q`` queries.

    Attributes:
        items: ``[q, k]`` int64 item indices, -1 where nothing was allowed.
        scores: ``[q, k]`` score of each shown item, NaN at empty slots.
        log_probs: ``[q, k]`` log P(slot j | earlier slots, scored, state); 0 at empty slots. Their
            sum is the slate's log-probability.
        std_error: ``[q, k]`` standard error where ``log_probs`` are Monte-Carlo, else None.
    """

    items: Tensor
    scores: Tensor
    log_probs: Tensor
    std_error: Tensor | None = None

    @property
    def exact(self) -> bool:
        """True if the log-probabilities are exact."""
        return self.std_error is None
