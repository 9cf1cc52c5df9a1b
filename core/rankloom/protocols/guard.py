"""Guards: rules over what may be shown."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from rankloom.protocols.batches import QueryBatch
from rankloom.protocols.ragged import RaggedIndices
from rankloom.protocols.scores import ScoredCandidates
from rankloom.protocols.slates import Slates

__all__ = ["Guard", "GuardBase"]


@runtime_checkable
class Guard(Protocol):
    """A rule with its reason in the trace; inherit :class:`GuardBase` for the do-nothing parts."""

    reason: str

    def exclude(self, queries: QueryBatch) -> RaggedIndices | None:
        """Return items each query must not be offered, before retrieval."""
        ...

    def penalty(self, scored: ScoredCandidates, prefix: Tensor) -> Tensor | None:
        """Return ``[q, n]`` to subtract from the scores of the next slot; never NaN.

        A finite penalty is subtracted, so a negative one is a bonus. An infinite one, of either
        sign, forbids: the item leaves the support and probabilities renormalise over what is left.

        Args:
            scored: The candidates.
            prefix: ``[q, j]`` items already in the slate, -1 for empty slots.
        """
        ...

    def observe(self, slates: Slates) -> None:
        """Take note of what was shown; called once after each batch."""
        ...


class GuardBase:
    """A guard that does nothing; override what applies."""

    reason = "guard"

    def exclude(self, queries: QueryBatch) -> RaggedIndices | None:
        """Exclude nothing."""
        return None

    def penalty(self, scored: ScoredCandidates, prefix: Tensor) -> Tensor | None:
        """Penalise nothing."""
        return None

    def observe(self, slates: Slates) -> None:
        """Keep no state."""
