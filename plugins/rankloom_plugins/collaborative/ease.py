"""EASE (Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from rankloom.errors import NotFittedError
from rankloom.protocols import Build, History, State, TrainData
from rankloom_plugins.collaborative.item_item import Columns, ItemItemScorer, taken_matrix
from rankloom_plugins.collaborative.plugin import EaseConfig

__all__ = ["Ease", "distinct_events", "gram"]


class Ease(ItemItemScorer):
    """``B = I - P diag(1 / diag P)`` with ``P = (X'X + l2 I)^-1``; a query scores ``x B``.

    ``X`` holds who took which item (0 or 1), positives of the training universe alone. ``x`` is
    the query's history, so a new user needs no refit: a known user's fold-in equals its row of
    ``X B``.
    """

    name = "ease"

    def __init__(self, config: EaseConfig, build: Build) -> None:
        super().__init__()
        self.config = config

    def fit(self, train: TrainData) -> None:
        """Solve for the weights, in float64.

        Raises:
            ConfigError: The universe has more than ``max_items`` items.
        """
        size = self._check_size(
            train, self.config.max_items, 24, "markov or a model with an embedding"
        )
        users, columns = self.positives(train)
        if 2 * train.n_users < size:
            self.matrix = _dual_weights(users, columns, train.n_users, size, self.config.l2)
        else:
            self.matrix = _weights(gram(users, columns, train.n_users, size), self.config.l2)

    def export_state(self) -> State:
        """Return ``universe [u]`` int64 and ``weights [u, u]`` float32."""
        if self.universe is None or self.matrix is None:
            raise NotFittedError("ease has nothing to save yet: call fit first.")
        return State(
            {"universe": self.universe, "weights": self.matrix.cpu()},
            {"n_items": len(self.column_of)},
        )

    def import_state(self, state: State) -> None:
        """Take the weights back."""
        self.set_universe(state.tensors["universe"], int(state.meta["n_items"]))
        self.matrix = state.tensors["weights"]

    def _events(self, history: History) -> Columns:
        """Return each query's distinct items of the universe, all of weight 1."""
        assert self.matrix is not None
        return distinct_events(self._lookup(history.items.values), history, self.matrix.shape[0])


def distinct_events(columns: Tensor, history: History, size: int) -> Columns:
    """Return each query's distinct items, all of weight 1.

    Args:
        columns: ``[total]`` column of each event of the histories, -1 outside the universe.
        history: The histories of ``q`` queries.
        size: Items of the universe.
    """
    inside = columns >= 0
    width = max(size, 1)
    cells = torch.unique(history.items.row_ids()[inside] * width + columns[inside])
    ones = torch.ones(len(cells), device=cells.device)
    return Columns(cells % width, ones, cells // width, len(history))


def gram(users: Tensor, columns: Tensor, n_users: int, size: int) -> Tensor:
    """Return ``X'X [size, size]`` float64 of the 0/1 matrix of distinct (user, column) pairs."""
    taken = taken_matrix(users, columns, n_users, size)
    return torch.from_numpy((taken.T @ taken).toarray())


def _weights(gram: Tensor, l2: float) -> Tensor:
    """Return EASE's weights ``[u, u]`` float32; overwrites ``gram``."""
    gram.diagonal().add_(l2)
    return _normalise(torch.cholesky_inverse(torch.linalg.cholesky(gram)))


def _dual_weights(users: Tensor, columns: Tensor, n_users: int, size: int, l2: float) -> Tensor:
    """Return the same weights through the users' Gram matrix, for fewer users than items.

    Woodbury: ``(X'X + l2 I)^-1 = (I - X' (X X' + l2 I)^-1 X) / l2``.
    """
    x = torch.zeros(n_users, size, dtype=torch.float64)
    x[users, columns] = 1.0
    x = x[x.any(1)]
    kernel = x @ x.T
    kernel.diagonal().add_(l2)
    root = torch.linalg.solve_triangular(torch.linalg.cholesky(kernel), x, upper=False)
    inverse = root.T @ root
    inverse.neg_().diagonal().add_(1.0)
    return _normalise(inverse.div_(l2))


def _normalise(inverse: Tensor) -> Tensor:
    inverse /= -inverse.diagonal().clone()
    inverse.fill_diagonal_(0.0)
    return inverse.float()
