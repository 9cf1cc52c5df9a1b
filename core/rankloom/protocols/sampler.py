"""Samplers: negatives with the law they were drawn by."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch

from rankloom.protocols.batches import CandidateBatch
from rankloom.protocols.training import TrainBatch

__all__ = ["Sampler"]


@runtime_checkable
class Sampler(Protocol):
    """Draws negatives from the training universe. ``prepare(train)`` is called first."""

    def sample(self, batch: TrainBatch, n: int, generator: torch.Generator) -> CandidateBatch:
        """Return ``[q, n]`` or shared ``[n]`` items with ``log_q`` of the same shape."""
        ...
