"""Item-to-item weights of which most are 0, kept as sparse rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rankloom.errors import NotFittedError
from rankloom.protocols import State
from rankloom_plugins.collaborative.item_item import Columns, ItemItemScorer

__all__ = ["SparseItemItemScorer"]


class SparseItemItemScorer(ItemItemScorer):
    """An item-to-item model whose weights are sparse; with few items they are read as a matrix.

    Args:
        dense_items: Up to so many items the weights are a matrix as well.
    """

    def __init__(self, dense_items: int) -> None:
        super().__init__()
        self.dense_items = dense_items
        self.rows = torch.zeros(1, dtype=torch.long)
        self.columns = torch.empty(0, dtype=torch.long)
        self.values = torch.empty(0)

    def set_weights(self, table: Any) -> None:
        """Take a scipy CSR matrix ``[u, u]``, row = item of the history, column = candidate."""
        self.rows = torch.from_numpy(table.indptr.astype(np.int64))
        self.columns = torch.from_numpy(table.indices.astype(np.int64))
        self.values = torch.from_numpy(table.data.astype(np.float32))
        self._densify()

    def export_state(self) -> State:
        """Return ``universe [u]`` and the sparse rows ``rows [u + 1]``, ``columns``, ``values``."""
        if self.universe is None:
            raise NotFittedError(f"{self.name} has nothing to save yet: call fit first.")
        tensors = {
            "universe": self.universe,
            "rows": self.rows.cpu(),
            "columns": self.columns.cpu(),
            "values": self.values.cpu(),
        }
        return State(tensors, {"n_items": len(self.column_of)})

    def import_state(self, state: State) -> None:
        """Take the weights back."""
        self.set_universe(state.tensors["universe"], int(state.meta["n_items"]))
        self.rows = state.tensors["rows"]
        self.columns = state.tensors["columns"]
        self.values = state.tensors["values"]
        self._densify()

    def _densify(self) -> None:
        size = len(self.rows) - 1
        self.matrix = None
        if size <= self.dense_items:
            self.matrix = torch.zeros(size, size)
            at = torch.repeat_interleave(torch.arange(size), self.rows.diff())
            self.matrix[at, self.columns] = self.values

    def _follow(self, device: torch.device) -> None:
        super()._follow(device)
        if self.rows.device != device:
            self.rows = self.rows.to(device)
            self.columns = self.columns.to(device)
            self.values = self.values.to(device)

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
