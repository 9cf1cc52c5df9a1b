"""Co-occurrence counts with popularity as a prior: for users of whom little is known."""

from __future__ import annotations

import torch
from torch import Tensor

from rankloom.errors import ConfigError, NotFittedError
from rankloom.protocols import Build, History, State, TrainData
from rankloom_plugins.collaborative.ease import distinct_events, gram
from rankloom_plugins.collaborative.item_item import Columns, ItemItemScorer
from rankloom_plugins.collaborative.plugin import CooccurrenceConfig

__all__ = ["Cooccurrence"]


class Cooccurrence(ItemItemScorer):
    """``sum_i c_ij + prior * c_j`` over the distinct items ``i`` of a history.

    ``c_ij`` counts the users who took both, ``c_j`` those who took ``j``, positives of the training
    universe alone. Counts of a rare item are small, so that it moves the ranking little away from
    popularity; standardised scores, as in a blend, would have lost that. ``c_ii`` is 0.
    """

    name = "cooccurrence"

    def __init__(self, config: CooccurrenceConfig, build: Build) -> None:
        super().__init__()
        self.config = config
        self.counts = torch.empty(0)

    def fit(self, train: TrainData) -> None:
        """Count.

        Raises:
            ConfigError: The universe has more than ``max_items`` items.
        """
        size = int(train.universe.sum())
        if size > self.config.max_items:
            raise ConfigError(
                f"cooccurrence: the training universe has {size:,} items, more than max_items = "
                f"{self.config.max_items:,}; the counts would need about {12 * size**2 / 1e9:.1f} "
                f"GB. Raise max_items if you have the memory, or drop rare items (a k-core)."
            )
        users, columns = self.positives(train)
        counts = gram(users, columns, train.n_users, size).float()
        self.counts = counts.diagonal().clone()
        self.matrix = counts.fill_diagonal_(0.0)

    def export_state(self) -> State:
        """Return ``universe [u]`` int64, ``weights [u, u]`` and ``counts [u]`` float32."""
        if self.universe is None or self.matrix is None:
            raise NotFittedError("cooccurrence has nothing to save yet: call fit first.")
        tensors = {"universe": self.universe, "weights": self.matrix, "counts": self.counts}
        return State({k: t.cpu() for k, t in tensors.items()}, {"n_items": len(self.column_of)})

    def import_state(self, state: State) -> None:
        """Take the counts back."""
        self.set_universe(state.tensors["universe"], int(state.meta["n_items"]))
        self.matrix = state.tensors["weights"]
        self.counts = state.tensors["counts"]

    def _events(self, history: History) -> Columns:
        return distinct_events(self._lookup(history.items.values), history, len(self.counts))

    def _sum(self, events: Columns, columns: Tensor) -> Tensor:
        self.counts = self.counts.to(columns.device)
        if not len(self.counts):
            return super()._sum(events, columns)
        return super()._sum(events, columns) + self.config.prior * self.counts[columns.clamp(min=0)]
