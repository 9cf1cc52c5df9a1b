"""Ridge regression from the first items of a history: for users of whom little is known."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rankloom.errors import NotFittedError
from rankloom.protocols import Build, History, State, TrainData
from rankloom_plugins.collaborative.ease import distinct_events
from rankloom_plugins.collaborative.item_item import (
    Columns,
    ItemItemScorer,
    places_in_runs,
    taken_matrix,
)
from rankloom_plugins.collaborative.plugin import PrefixRidgeConfig

__all__ = ["PrefixRidge"]


class PrefixRidge(ItemItemScorer):
    """``p + sum_i b_i`` over the distinct items ``i`` of a history.

    ``Y`` holds who took which item (0 or 1) and ``E_n`` the first ``n`` of each user, positives of
    the training universe alone; ``p`` is the mean row of ``Y``, that is popularity. Averaged over
    ``n`` in ``lengths``, ``B = (E_n'E_n + l2 I)^-1 E_n'(Y - p)``: the ridge regression of what
    users take on what they begin with. Linear models of whole histories, such as EASE, weigh an
    item as one among many, which says little to somebody who has taken nothing else.
    """

    name = "prefix_ridge"

    def __init__(self, config: PrefixRidgeConfig, build: Build) -> None:
        super().__init__()
        self.config = config
        self.shares = torch.empty(0)

    def fit(self, train: TrainData) -> None:
        """Solve for the weights, in float64.

        Raises:
            ConfigError: The universe has more than ``max_items`` items.
        """
        size = self._check_size(
            train, self.config.max_items, 36, "popularity or a model with a history encoder"
        )
        users, columns, places = _distinct(*self.positives(train), size)
        taken = taken_matrix(users, columns, train.n_users, size)
        shares = np.asarray(taken.sum(0)).ravel() / max(len(torch.unique(users)), 1)
        gram, moved = np.zeros((size, size)), np.zeros((size, size))
        for length in self.config.lengths:
            first = places < length
            start = taken_matrix(users[first], columns[first], train.n_users, size)
            gram += (start.T @ start).toarray()
            moved += (start.T @ taken).toarray()
            moved -= np.outer(np.asarray(start.sum(0)).ravel(), shares)
        gram /= len(self.config.lengths)
        moved /= len(self.config.lengths)
        gram[np.diag_indices(size)] += self.config.l2
        root = torch.linalg.cholesky(torch.from_numpy(gram))
        self.matrix = torch.cholesky_solve(torch.from_numpy(moved), root).float()
        self.shares = torch.from_numpy(shares).float()

    def export_state(self) -> State:
        """Return ``universe [u]`` int64, ``weights [u, u]`` and ``shares [u]`` float32."""
        if self.universe is None or self.matrix is None:
            raise NotFittedError("prefix_ridge has nothing to save yet: call fit first.")
        tensors = {"universe": self.universe, "weights": self.matrix, "shares": self.shares}
        return State({k: t.cpu() for k, t in tensors.items()}, {"n_items": len(self.column_of)})

    def import_state(self, state: State) -> None:
        """Take the weights back."""
        self.set_universe(state.tensors["universe"], int(state.meta["n_items"]))
        self.matrix = state.tensors["weights"]
        self.shares = state.tensors["shares"]

    def _events(self, history: History) -> Columns:
        return distinct_events(self._lookup(history.items.values), history, len(self.shares))

    def _follow(self, device: torch.device) -> None:
        super()._follow(device)
        self.shares = self.shares.to(device)

    def _sum(self, events: Columns, columns: Tensor) -> Tensor:
        if not len(self.shares):
            return super()._sum(events, columns)
        return super()._sum(events, columns) + self.shares[columns.clamp(min=0)]


def _distinct(users: Tensor, columns: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return users, columns and places of each user's distinct items, in the order first taken.

    Args:
        users: ``[p]`` int64, ascending.
        columns: ``[p]`` int64, in order of time for each user.
        size: Items of the universe.
    """
    cells = (users * max(size, 1) + columns).numpy()
    first = torch.from_numpy(np.sort(np.unique(cells, return_index=True)[1]))
    owners = users[first]
    return owners, columns[first], torch.from_numpy(places_in_runs(owners.numpy()))
