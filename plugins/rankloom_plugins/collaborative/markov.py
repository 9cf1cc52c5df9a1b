"""Windowed item-to-item transitions: what tends to follow what was taken last."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from rankloom.errors import NotFittedError
from rankloom.protocols import Build, History, State, TrainData
from rankloom_plugins.collaborative.item_item import Columns, ItemItemScorer
from rankloom_plugins.collaborative.plugin import MarkovConfig

__all__ = ["Markov", "transitions"]


class Markov(ItemItemScorer):
    """Scores ``sum_k decay^k T[last_k, j]`` over the latest events of a history.

    ``C[i, j]`` adds ``window_decay^(d - 1)`` whenever a user took ``j`` as the ``d``-th event after
    ``i``, ``d`` up to ``window``; ``T[i, j] = C[i, j] / sqrt((C[i, .] + s)(C[., j] + s))`` is its
    cosine form with shrinkage ``s``. Time gaps are not looked at. An event whose item nothing ever
    followed is skipped.
    """

    name = "markov"

    def __init__(self, config: MarkovConfig, build: Build) -> None:
        super().__init__()
        self.config = config
        self.rows = torch.zeros(1, dtype=torch.long)
        self.columns = torch.empty(0, dtype=torch.long)
        self.values = torch.empty(0)

    def fit(self, train: TrainData) -> None:
        """Count transitions between the positives of each user, in order of (time, row)."""
        users, columns = self.positives(train)
        size = int(train.universe.sum())
        counts = transitions(users, columns, size, self.config.window, self.config.window_decay)
        table = _cosine(counts, self.config.shrinkage)
        self.rows = torch.from_numpy(table.indptr.astype(np.int64))
        self.columns = torch.from_numpy(table.indices.astype(np.int64))
        self.values = torch.from_numpy(table.data.astype(np.float32))
        self._densify()

    def export_state(self) -> State:
        """Return ``universe [u]`` and the sparse rows ``rows [u + 1]``, ``columns``, ``values``."""
        if self.universe is None:
            raise NotFittedError("markov has nothing to save yet: call fit first.")
        tensors = {
            "universe": self.universe,
            "rows": self.rows.cpu(),
            "columns": self.columns.cpu(),
            "values": self.values.cpu(),
        }
        return State(tensors, {"n_items": len(self.column_of)})

    def import_state(self, state: State) -> None:
        """Take the transitions back."""
        self.set_universe(state.tensors["universe"], int(state.meta["n_items"]))
        self.rows = state.tensors["rows"]
        self.columns = state.tensors["columns"]
        self.values = state.tensors["values"]
        self._densify()

    def _densify(self) -> None:
        size = len(self.rows) - 1
        self.matrix = None
        if size <= self.config.dense_items:
            self.matrix = torch.zeros(size, size)
            at = torch.repeat_interleave(torch.arange(size), self.rows.diff())
            self.matrix[at, self.columns] = self.values

    def _follow(self, device: torch.device) -> None:
        super()._follow(device)
        if self.rows.device != device:
            self.rows = self.rows.to(device)
            self.columns = self.columns.to(device)
            self.values = self.values.to(device)

    def _events(self, history: History) -> Columns:
        """Return the latest usable events, the ``k``-th latest of weight ``decay^k``."""
        columns = self._lookup(history.items.values)
        followed = torch.cat([self.rows.diff() > 0, self.rows.new_zeros(1, dtype=torch.bool)])
        usable = followed[columns]  # -1 reads the last entry, which is False
        rows, columns = history.items.row_ids()[usable], columns[usable]
        ends = torch.bincount(rows, minlength=len(history)).cumsum(0)
        age = ends[rows] - 1 - torch.arange(len(rows), device=rows.device)
        recent = age < self.config.max_length
        weights = self.config.decay ** age[recent].float()
        return Columns(columns[recent], weights, rows[recent], len(history))

    def _sum(self, events: Columns, columns: Tensor) -> Tensor:
        if self.matrix is not None:
            return super()._sum(events, columns)
        # Walk the sparse rows of the events: work in proportion to the transitions they hold.
        size = len(self.rows) - 1
        start, lengths = self.rows[events.columns], self.rows.diff()[events.columns]
        event = torch.repeat_interleave(lengths)
        shift = torch.repeat_interleave(start - lengths.cumsum(0) + lengths, lengths)
        at = torch.arange(len(event), device=event.device) + shift
        cells = events.rows[event] * size + self.columns[at]
        out = self.values.new_zeros(events.n * size)
        out.index_add_(0, cells, self.values[at] * events.weights[event])
        whole, wanted = out.view(events.n, size), columns.clamp(min=0)
        return whole[:, wanted] if wanted.dim() == 1 else whole.gather(1, wanted)


def transitions(users: Tensor, columns: Tensor, size: int, window: int, decay: float) -> Any:
    """Count transitions within a window.

    Args:
        users: ``[p]`` int64, each user's events next to one another and in order.
        columns: ``[p]`` int64 in ``0..size - 1``.
        size: Items.
        window: Largest distance counted.
        decay: Weight of distance ``d`` is ``decay ** (d - 1)``.

    Returns:
        A scipy CSR matrix ``[size, size]`` float64; row = earlier item, column = later one.
    """
    who, what = users.numpy(), columns.numpy()
    total = sparse.csr_matrix((size, size))
    for distance in range(1, min(window, len(who) - 1) + 1):
        same = who[:-distance] == who[distance:]
        pair = (what[:-distance][same], what[distance:][same])
        weight = np.full(len(pair[0]), decay ** (distance - 1))
        total = total + sparse.csr_matrix((weight, pair), shape=(size, size))
    return total


def _cosine(counts: Any, shrinkage: float) -> Any:
    """Divide ``C[i, j]`` by the root of its row's and column's totals, each plus ``shrinkage``."""
    out = np.asarray(counts.sum(1)).ravel() + shrinkage
    into = np.asarray(counts.sum(0)).ravel() + shrinkage
    table = counts.tocoo()
    values = table.data / np.sqrt(out[table.row] * into[table.col])
    return sparse.csr_matrix((values, (table.row, table.col)), shape=counts.shape)
