"""Simulators and off-policy estimators (built by later work; the kinds exist from the start)."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from rankloom.protocols.batches import QueryBatch
from rankloom.protocols.decisions import Decisions
from rankloom.protocols.policy import Policy
from rankloom.protocols.slates import Slates

__all__ = ["Estimator", "Simulator"]


@runtime_checkable
class Simulator(Protocol):
    """A world that answers slates with feedback; a vectorised gymnasium environment inside."""

    def reset(self, seed: int) -> QueryBatch:
        """Start over; return the first queries."""
        ...

    def step(self, slates: Slates) -> tuple[QueryBatch, Tensor, Tensor]:
        """Return next queries, rewards ``[q, k]`` float32 and done flags ``[q]`` bool."""
        ...


@runtime_checkable
class Estimator(Protocol):
    """Estimates a policy's value from decisions of another policy."""

    def estimate(self, decisions: Decisions, policy: Policy) -> Any:
        """Return value, interval and warnings."""
        ...
