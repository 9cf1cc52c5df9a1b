"""Windowed item-to-item transitions: what tends to follow what was taken last."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from rankloom.protocols import Build, History, TrainData
from rankloom_plugins.collaborative.item_item import Columns
from rankloom_plugins.collaborative.plugin import MarkovConfig
from rankloom_plugins.collaborative.sparse_item_item import SparseItemItemScorer

__all__ = ["Markov", "transitions"]


class Markov(SparseItemItemScorer):
    """Scores ``sum_k decay^k T[last_k, j]`` over the latest events of a history.

    ``C[i, j]`` adds ``window_decay^(d - 1)`` whenever a user took ``j`` as the ``d``-th event after
    ``i``, ``d`` up to ``window``; ``T[i, j] = C[i, j] / sqrt((C[i, .] + s)(C[., j] + s))`` is its
    cosine form with shrinkage ``s``. Time gaps are not looked at. An event whose item nothing ever
    followed is skipped.
    """

    name = "markov"

    def __init__(self, config: MarkovConfig, build: Build) -> None:
        super().__init__(config.dense_items)
        self.config = config

    def fit(self, train: TrainData) -> None:
        """Count transitions between the positives of each user, in order of (time, row)."""
        users, columns = self.positives(train)
        size = int(train.universe.sum())
        counts = transitions(users, columns, size, self.config.window, self.config.window_decay)
        self.set_weights(_cosine(counts, self.config.shrinkage))

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
