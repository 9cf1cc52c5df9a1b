"""iALS (Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", 2008)."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from rankloom.errors import MissingExtraError, NotFittedError
from rankloom.protocols import Build, History, State, TrainData
from rankloom_plugins.collaborative.ease import distinct_events
from rankloom_plugins.collaborative.item_item import Columns, ItemItemScorer, offsets_of
from rankloom_plugins.collaborative.plugin import IalsConfig

__all__ = ["Ials"]

#: Numbers that the histories of one block of queries may take, padded (128 MB).
_BUDGET = 1 << 25


class Ials(ItemItemScorer):
    """Factors by alternating least squares, of the package ``implicit``; users by fold-in.

    Minimises ``sum_ui c_ui (p_ui - x_u' y_i)² + l2 (|X|² + |Y|²)`` with ``p`` and ``c`` 1 and
    ``confidence`` where the user took the item, else 0 and 1. A query is the user vector that is
    best for its history, given the items' factors, so that new users need no refit.

    Raises:
        MissingExtraError: ``implicit`` is not installed.
    """

    name = "ials"

    def __init__(self, config: IalsConfig, build: Build) -> None:
        super().__init__()
        self.config = config
        self.factors: Tensor | None = None

    def fit(self, train: TrainData) -> None:
        """Alternate on the positives of the training universe, by seed."""
        try:
            from implicit.cpu.als import AlternatingLeastSquares
            from threadpoolctl import threadpool_limits
        except ImportError as error:
            raise MissingExtraError("ials", "implicit", "ials") from error
        users, columns = self.positives(train)
        size = int(train.universe.sum())
        pairs = torch.unique(users * max(size, 1) + columns).numpy()
        cells = (pairs // max(size, 1), pairs % max(size, 1))
        taken = sparse.csr_matrix(
            (np.ones(len(pairs), dtype=np.float32), cells), shape=(train.n_users, size)
        )
        with threadpool_limits(1, "blas"):  # which otherwise fights with the solver's own threads
            model = AlternatingLeastSquares(
                factors=self.config.factors,
                regularization=self.config.l2,
                alpha=self.config.confidence,
                iterations=self.config.iterations,
                use_cg=False,  # exact, and so the same on every machine but for rounding
                num_threads=torch.get_num_threads(),
                random_state=train.seed,
            )
            model.fit(taken, show_progress=False)
        self.factors = torch.from_numpy(np.array(model.item_factors, dtype=np.float32))

    def users(self, history: History) -> Tensor:
        """Return ``[q, factors]`` user vectors: the best for each history, zero for an empty one.

        Raises:
            NotFittedError: ``fit`` was not called.
        """
        return self._users(self._events(history))

    def export_state(self) -> State:
        """Return ``universe [u]`` int64 and ``factors [u, r]`` float32."""
        if self.universe is None or self.factors is None:
            raise NotFittedError("ials has nothing to save yet: call fit first.")
        tensors = {"universe": self.universe.cpu(), "factors": self.factors.cpu()}
        return State(tensors, {"n_items": len(self.column_of)})

    def import_state(self, state: State) -> None:
        """Take the factors back."""
        self.set_universe(state.tensors["universe"], int(state.meta["n_items"]))
        self.factors = state.tensors["factors"]

    def _events(self, history: History) -> Columns:
        if self.factors is None:
            raise NotFittedError("ials has no factors yet: call fit first.")
        return distinct_events(self._lookup(history.items.values), history, len(self.factors))

    def _follow(self, device: torch.device) -> None:
        super()._follow(device)
        if self.factors is not None:
            self.factors = self.factors.to(device)

    def _sum(self, events: Columns, columns: Tensor) -> Tensor:
        assert self.factors is not None
        vectors, items = self._users(events), self.factors[columns.clamp(min=0)]
        return (
            vectors @ items.T if columns.dim() == 1 else torch.einsum("qr,qnr->qn", vectors, items)
        )

    def _users(self, events: Columns) -> Tensor:
        """Solve ``(Y'Y + (c - 1) Y_u'Y_u + l2 I) x = c Y_u' 1`` for each query."""
        assert self.factors is not None
        known, weight = self.factors.double(), self.config.confidence
        rank = known.shape[1]
        common = known.T @ known
        common.diagonal().add_(self.config.l2)
        offsets = offsets_of(events.rows, events.n)
        lengths = offsets[1:] - offsets[:-1]
        longest = int(lengths.max()) if events.n else 0
        size = max(_BUDGET // max(longest * rank, rank * rank, 1), 1)
        found = []
        for rows in torch.split(torch.arange(events.n, device=known.device), size):
            place = torch.arange(longest, device=known.device)
            there = place < lengths[rows, None]
            at = (offsets[rows, None] + place).clamp(max=max(len(events.columns) - 1, 0))
            own = known[events.columns[at]] if len(events.columns) else known.new_zeros(1, 1, rank)
            own = own * there[:, :, None] if longest else known.new_zeros(len(rows), 1, rank)
            gram = common + (weight - 1) * own.mT @ own
            found.append(torch.linalg.solve(gram, weight * own.sum(1)))
        return torch.cat(found).float() if found else known.new_zeros(0, rank).float()
