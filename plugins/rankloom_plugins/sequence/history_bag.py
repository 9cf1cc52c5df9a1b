"""Sum of a history's items by vectors of their own (SVD++'s implicit feedback)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankloom.nn.seeds import seeded
from rankloom.protocols import Build, Encoded, Features, History, State, TrainData
from rankloom_plugins.sequence.collation import collate_history
from rankloom_plugins.sequence.plugin import HistoryBagConfig

__all__ = ["HistoryBagEncoder"]


class HistoryBagEncoder(nn.Module):
    """``n^-power * sum_j w_j y_j`` over the ``n`` known events (Koren, 2008).

    ``y`` are vectors for having taken an item, apart from the vectors it is scored by. ``w`` is 1,
    or with ``weight_by_value`` the event's value less the history's mean value. Items without
    training data, and free text, have no such vector and are left out.

    Args:
        config: Settings.
        build: ``n_items`` sizes the table.
    """

    #: It looks items up itself: core need not gather their vectors.
    reads_vectors = False

    known: Tensor

    def __init__(self, config: HistoryBagConfig, build: Build) -> None:
        super().__init__()
        self.dim = config.dim
        self.max_length = config.max_length
        self.weight_by_value = config.weight_by_value
        self.power = config.power
        self._seed = build.seed
        self._allocate(build.n_items)

    def _allocate(self, n_items: int) -> None:
        # Row 0 is what padding reads; it is never known.
        self.table = nn.Parameter(torch.zeros(n_items + 1, self.dim))
        generator = seeded(self._seed, "history_bag", str(self.weight_by_value))
        with torch.no_grad():
            self.table[1:].normal_(std=0.02, generator=generator)
        self.register_buffer("known", torch.zeros(n_items + 1, dtype=torch.bool))

    def prepare(self, train: TrainData) -> None:
        """Note which items have training data."""
        if train.n_items + 1 != len(self.known):
            self._allocate(train.n_items)
        self.known[1:] = train.universe

    def export_state(self) -> State:
        """Return the number of items; weights are in the ``state_dict``."""
        return State(meta={"items": len(self.known) - 1})

    def import_state(self, state: State) -> None:
        """Size the table."""
        if int(state.meta["items"]) + 1 != len(self.known):
            self._allocate(int(state.meta["items"]))

    def collate(self, values: History) -> Features:
        """Crop to ``max_length`` and pad on the right; ``[q, t]`` tensors."""
        return collate_history(values, self.max_length)

    def forward(self, features: Features) -> Encoded:
        """Encode ``items [q, t]``; returns vectors ``[q, dim]``, zero where nothing is known."""
        rows = features["items"] + 1
        rows = rows.masked_fill((rows >= len(self.known)) | ~features["mask"], 0)
        counted = self.known[rows]
        n = counted.sum(1)
        # Padding would cost as much as events: histories go in one after another.
        flat = counted.flatten().nonzero()[:, 0]
        of = flat // counted.shape[1]
        weights = n.clamp(min=1).to(self.table.dtype)[of] ** -self.power
        if self.weight_by_value:
            centred = _centred(features["values"].flatten()[flat], of, len(n))
            weights = weights * centred.to(weights.dtype)
        summed = F.embedding_bag(
            rows.flatten()[flat],
            self.table,
            n.cumsum(0) - n,
            mode="sum",
            per_sample_weights=weights,
        )
        return Encoded(summed, mask=(n > 0)[:, None])


def _centred(values: Tensor, of: Tensor, n: int) -> Tensor:
    """Values less the mean of those of the same history ``of``; 0 where an event has none."""
    known = ~values.isnan()
    filled = values.masked_fill(~known, 0.0)
    sums = filled.new_zeros(n).index_add_(0, of, filled)
    counts = filled.new_zeros(n).index_add_(0, of, known.to(filled.dtype))
    mean = sums / counts.clamp(min=1)
    return (filled - mean[of]).masked_fill(~known, 0.0)
