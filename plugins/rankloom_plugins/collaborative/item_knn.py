"""Item-based nearest neighbours (Sarwar et al., "Item-based collaborative filtering", WWW 2001)."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from rankloom.protocols import Build, History, TrainData
from rankloom_plugins.collaborative.ease import distinct_events
from rankloom_plugins.collaborative.item_item import Columns, places_in_runs, taken_matrix
from rankloom_plugins.collaborative.plugin import ItemKnnConfig
from rankloom_plugins.collaborative.sparse_item_item import SparseItemItemScorer

__all__ = ["ItemKnn"]

#: Items whose neighbours are looked for at once.
_BLOCK = 1024


class ItemKnn(SparseItemItemScorer):
    """Scores ``sum_i s_ij`` over the distinct items ``i`` of a history that are near ``j``.

    ``s_ij = c_ij / (sqrt(c_i c_j) + shrinkage)``: ``c_ij`` counts the users who took both, ``c_i``
    those who took ``i``, positives of the training universe alone. Of each candidate ``j`` only the
    ``neighbours`` nearest items count; of equally near ones the earlier in the catalog.
    """

    name = "item_knn"

    def __init__(self, config: ItemKnnConfig, build: Build) -> None:
        super().__init__(config.dense_items)
        self.config = config

    def fit(self, train: TrainData) -> None:
        """Find every item's neighbours, some items at a time."""
        users, columns = self.positives(train)
        size = int(train.universe.sum())
        taken = taken_matrix(users, columns, train.n_users, size).tocsc()
        counts = np.asarray(taken.sum(0)).ravel()
        blocks = [
            self._nearest(taken, counts, start, min(start + _BLOCK, size))
            for start in range(0, size, _BLOCK)
        ]
        nearest = sparse.vstack(blocks) if blocks else sparse.csr_matrix((size, size))
        self.set_weights(sparse.csr_matrix(nearest.T))

    def _nearest(self, taken: Any, counts: np.ndarray, start: int, stop: int) -> Any:
        """Return ``[stop - start, u]``: the similarities of some candidates to their neighbours."""
        both = (taken[:, start:stop].T @ taken).tocoo()
        other = both.row + start != both.col
        row, column = both.row[other], both.col[other]
        scale = np.sqrt(counts[row + start] * counts[column]) + self.config.shrinkage
        similar = both.data[other] / scale
        order = np.lexsort((column, -similar, row))
        near = order[places_in_runs(row[order]) < self.config.neighbours]
        shape = (stop - start, len(counts))
        return sparse.csr_matrix((similar[near], (row[near], column[near])), shape=shape)

    def _events(self, history: History) -> Columns:
        return distinct_events(self._lookup(history.items.values), history, len(self.rows) - 1)
