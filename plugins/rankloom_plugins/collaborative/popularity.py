"""Popularity: the logarithm of how often an item was taken."""

from __future__ import annotations

import torch
from torch import Tensor

from rankloom.errors import NotFittedError
from rankloom.protocols import Build, CandidateBatch, QueryBatch, Scores, State, TrainData
from rankloom_plugins.collaborative.plugin import PopularityConfig

__all__ = ["Popularity"]


class Popularity:
    """Scores an item by ``log(positives in training)``; NaN outside the training universe.

    A softmax over these scores draws items in proportion to their counts.
    """

    def __init__(self, config: PopularityConfig, build: Build) -> None:
        self.log_counts: Tensor | None = None

    def fit(self, train: TrainData) -> None:
        """Count the positives of each item."""
        items = train.interactions.items[train.positive]
        counts = torch.bincount(items, minlength=train.n_items).float()
        self.log_counts = counts.log().masked_fill(counts == 0, torch.nan)

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        """Score candidates ``[q, n]``, the same for every query."""
        if self.log_counts is None:
            raise NotFittedError("popularity has counted nothing yet: call fit first.")
        self.log_counts = self.log_counts.to(queries.device)
        items = candidates.items
        known = (items >= 0) & (items < len(self.log_counts))
        values = self.log_counts[items.clamp(0, len(self.log_counts) - 1)]
        values = values.masked_fill(~known, torch.nan)
        return Scores(values.expand(len(queries), -1), scale="logit")

    def extend(self, n_items: int) -> None:
        """Make room for items appended to the catalog; they are unknown (NaN)."""
        if self.log_counts is not None:
            fresh = self.log_counts.new_full((n_items - len(self.log_counts),), torch.nan)
            self.log_counts = torch.cat([self.log_counts, fresh])

    def export_state(self) -> State:
        """Return ``log_counts [n_items]`` float32."""
        if self.log_counts is None:
            raise NotFittedError("popularity has nothing to save yet: call fit first.")
        return State({"log_counts": self.log_counts.cpu()})

    def import_state(self, state: State) -> None:
        """Take ``log_counts`` back."""
        self.log_counts = state.tensors["log_counts"]
