"""Samplers of negatives out of the training universe."""

from __future__ import annotations

import torch
from torch import Tensor

from rankloom.errors import NotFittedError
from rankloom.protocols import Build, CandidateBatch, TrainBatch, TrainData
from rankloom_plugins.objectives.plugin import PopularityConfig, UniformConfig

__all__ = ["PopularitySampler", "UniformSampler"]


class _WeightedSampler:
    """Draws with replacement by fixed weights: for each query, or once for all (``shared``).

    Accidental hits of a query's own target are masked, not drawn anew: the law stays ``log_q``.
    """

    def __init__(self, shared: bool) -> None:
        self.shared = shared
        self._items: Tensor | None = None
        self._log_q = torch.empty(0)
        self._cumulative = torch.empty(0, dtype=torch.double)

    def _set(self, items: Tensor, weights: Tensor) -> None:
        self._items = items
        law = weights.double() / weights.double().sum()
        self._log_q = law.log().float()
        self._cumulative = law.cumsum(0)

    def sample(self, batch: TrainBatch, n: int, generator: torch.Generator) -> CandidateBatch:
        """Return ``[q, n]`` items, or ``[n]`` shared ones, with ``log_q`` and a mask.

        The mask ``[q, n]`` is False at a query's own target.

        Raises:
            NotFittedError: ``prepare`` was never called.
        """
        if self._items is None:
            raise NotFittedError("The sampler knows no items yet: call prepare(train) first.")
        shape = (n,) if self.shared else (len(batch), n)
        drawn = torch.rand(shape, generator=generator, device=generator.device, dtype=torch.double)
        at = torch.searchsorted(self._cumulative, drawn.cpu(), right=True)
        at = at.clamp(max=len(self._items) - 1)
        device = batch.targets.device
        items = self._items[at].to(device)
        return CandidateBatch(items, items != batch.targets[:, None], self._log_q[at].to(device))


class UniformSampler(_WeightedSampler):
    """Every item of the universe with the same probability."""

    def __init__(self, config: UniformConfig, build: Build) -> None:
        super().__init__(config.shared)

    def prepare(self, train: TrainData) -> None:
        """Learn the universe."""
        items = train.universe.nonzero()[:, 0]
        self._set(items, torch.ones(len(items)))


class PopularitySampler(_WeightedSampler):
    """Items in proportion to (positives in training) ** alpha."""

    def __init__(self, config: PopularityConfig, build: Build) -> None:
        super().__init__(config.shared)
        self.alpha = config.alpha

    def prepare(self, train: TrainData) -> None:
        """Count positives of the universe."""
        items = train.universe.nonzero()[:, 0]
        positives = train.interactions.items[train.positive]
        counts = torch.bincount(positives, minlength=train.n_items)[items]
        self._set(items, counts.double() ** self.alpha)
