"""What item-to-item models share: from a query's history to scores of its candidates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor

from rankloom.errors import ConfigError, NotFittedError
from rankloom.protocols import CandidateBatch, History, QueryBatch, Scores, TrainData

__all__ = ["Columns", "ItemItemScorer", "offsets_of", "places_in_runs", "taken_matrix"]


@dataclass(frozen=True)
class Columns:
    """The usable events of ``q`` histories.

    Attributes:
        columns: ``[t]`` int64 rows of the item-to-item matrix, query after query.
        weights: ``[t]`` float32 weight of each.
        rows: ``[t]`` int64 query of each, ascending.
        n: ``q``.
    """

    columns: Tensor
    weights: Tensor
    rows: Tensor
    n: int


def offsets_of(rows: Tensor, n: int) -> Tensor:
    """Return offsets ``[n + 1]`` of ascending row numbers ``rows [t]``."""
    counts = torch.bincount(rows, minlength=n)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def places_in_runs(rows: np.ndarray) -> np.ndarray:
    """Return the place ``[t]`` of each entry among those of its row, from 0; ``rows`` ascend."""
    places: np.ndarray = np.arange(len(rows)) - np.searchsorted(rows, rows)
    return places


def taken_matrix(users: Tensor, columns: Tensor, n_users: int, size: int) -> Any:
    """Return who took what: a scipy CSR matrix ``[n_users, size]`` float64 of 0 and 1.

    Args:
        users: ``[p]`` int64.
        columns: ``[p]`` int64 in ``0..size - 1``; repeated pairs count once.
        n_users: Users.
        size: Items.
    """
    pairs = torch.unique(users * max(size, 1) + columns).numpy()
    where = (pairs // max(size, 1), pairs % max(size, 1))
    return sparse.csr_matrix((np.ones(len(pairs)), where), shape=(n_users, size))


class ItemItemScorer(ABC):
    """Scores a candidate by the sum of the weights from a history's items to it.

    The matrix spans the training universe alone. Candidates outside it, and queries without any
    usable event, score NaN. A subclass fits :attr:`matrix` and says which events count.

    Attributes:
        universe: ``[u]`` int64 item indices of the matrix's rows and columns, ascending.
        column_of: ``[n_items]`` int64 column of each item, -1 outside the universe.
        matrix: ``[u, u]`` float32, row = item of the history, column = candidate; None before
            ``fit`` and where a subclass keeps its weights in another form.
    """

    name = "item-to-item model"

    def __init__(self) -> None:
        self.universe: Tensor | None = None
        self.column_of = torch.empty(0, dtype=torch.long)
        self.matrix: Tensor | None = None

    def set_universe(self, universe: Tensor, n_items: int) -> None:
        """Number the items of ``universe [u]`` within a catalog of ``n_items``."""
        self.universe = universe
        self.column_of = torch.full((n_items,), -1, dtype=torch.long)
        self.column_of[universe] = torch.arange(len(universe))

    def positives(self, train: TrainData) -> tuple[Tensor, Tensor]:
        """Return users and columns of the positives, both ``[p]``, in order; sets the universe."""
        self.set_universe(train.universe.nonzero().flatten(), train.n_items)
        items = train.interactions.items[train.positive]
        columns = self.column_of[items]
        inside = columns >= 0
        return train.interactions.users[train.positive][inside], columns[inside]

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        """Score candidates ``[q, n]`` by fold-in of each query's history."""
        if self.universe is None:
            raise NotFittedError(f"{self.name} has no weights yet: call fit first.")
        self._follow(queries.device)
        events = self._events(queries.history)
        columns = self._lookup(candidates.items)
        values = self._sum(events, columns)
        usable = torch.bincount(events.rows, minlength=events.n) > 0
        known = (columns >= 0) & usable[:, None]
        return Scores(values.masked_fill(~known, torch.nan))

    def extend(self, n_items: int) -> None:
        """Make room for items appended to the catalog; they are unknown (NaN)."""
        fresh = self.column_of.new_full((n_items - len(self.column_of),), -1)
        self.column_of = torch.cat([self.column_of, fresh])

    def _check_size(self, train: TrainData, most: int, pair_bytes: int, instead: str) -> int:
        """Return the size of the training universe.

        Args:
            train: What is fitted on.
            most: ``max_items`` of the config.
            pair_bytes: Memory that a fit takes for each pair of items.
            instead: What else could be used.

        Raises:
            ConfigError: It is larger than ``most``.
        """
        size = int(train.universe.sum())
        if size > most:
            raise ConfigError(
                f"{self.name}: the training universe has {size:,} items, more than max_items = "
                f"{most:,}; the fit would need about {pair_bytes * size**2 / 1e9:.1f} GB. Raise "
                f"max_items if you have the memory, drop rare items (a k-core), or use {instead} "
                f"instead."
            )
        return size

    @abstractmethod
    def _events(self, history: History) -> Columns:
        """Return the events of the histories that count, with their weights."""

    def _follow(self, device: torch.device) -> None:
        """Move the weights to ``device``, once."""
        if self.column_of.device != device:
            self.column_of = self.column_of.to(device)
            self.matrix = None if self.matrix is None else self.matrix.to(device)

    def _lookup(self, items: Tensor) -> Tensor:
        """Return columns of ``items`` (any shape), -1 for padding and unknown items."""
        known = (items >= 0) & (items < len(self.column_of))
        if len(self.column_of) == 0:
            return torch.full_like(items, -1)
        return self.column_of[items.clamp(0, len(self.column_of) - 1)].masked_fill(~known, -1)

    def _sum(self, events: Columns, columns: Tensor) -> Tensor:
        """Return ``[q, n]`` sums for candidate ``columns`` (``[n]`` or ``[q, n]``)."""
        assert self.matrix is not None
        at = columns.clamp(min=0)
        # Reading single entries beats summing whole rows while there are fewer of them.
        if len(events.columns) * at.shape[-1] <= events.n * self.matrix.shape[1]:
            there = at.expand(events.n, -1)[events.rows]
            parts = self.matrix[events.columns[:, None], there] * events.weights[:, None]
            out = parts.new_zeros(events.n, at.shape[-1])
            return out.index_add_(0, events.rows, parts)
        whole = F.embedding_bag(
            events.columns,
            self.matrix,
            offsets_of(events.rows, events.n)[:-1],
            mode="sum",
            per_sample_weights=events.weights,
        )
        return whole[:, at] if at.dim() == 1 else whole.gather(1, at)
