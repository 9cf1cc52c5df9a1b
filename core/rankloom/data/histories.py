"""Histories of all users in one ragged store, cut to what each query may see."""

from __future__ import annotations

import torch
from torch import Tensor

from rankloom.data.interactions import Interactions
from rankloom.protocols.batches import QueryBatch
from rankloom.protocols.history import History
from rankloom.protocols.ragged import RaggedIndices
from rankloom.protocols.training import TrainData

__all__ = ["HistoryStore", "taken", "training_queries", "without"]


class HistoryStore:
    """Events by user, oldest first; ties in time keep the source row order.

    Args:
        interactions: The events to keep (already restricted to visible rows).
        n_users: Rows of the user table.
    """

    def __init__(self, interactions: Interactions, n_users: int) -> None:
        ordered = interactions.select(interactions.order())
        counts = torch.bincount(ordered.users, minlength=n_users)
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        self.events = ordered
        self._offsets = offsets.numpy()
        self.all = History(
            RaggedIndices(ordered.items, offsets), ordered.values, ordered.times, ordered.rows
        )

    @property
    def n_users(self) -> int:
        """Users the store knows."""
        return len(self.all)

    def whole(self, users: Tensor) -> History:
        """Return whole histories of ``users`` ``[q]``; -1 and later users have an empty one."""
        if len(users) == 1:
            return self._one(int(users))
        known = (users >= 0) & (users < self.n_users)
        if bool(known.all()):
            return self.all.select(users)
        picked = self.all.select(users.clamp(min=0, max=max(self.n_users - 1, 0)))
        return _keep(picked, known[picked.items.row_ids()])

    def _one(self, user: int) -> History:
        """A request for one user: slices of the store instead of gathered rows."""
        if not 0 <= user < self.n_users:
            return History.empty(1)
        start, end = self._offsets[user : user + 2].tolist()
        events = slice(start, end)
        return History(
            RaggedIndices(self.all.items.values[events], torch.tensor([0, end - start])),
            self.all.values[events],
            self.all.times[events],
            self.all.rows[events],
        )

    def before(self, users: Tensor, times: Tensor, rows: Tensor) -> History:
        """Return what came strictly earlier than (times, rows), both ``[q]``."""
        picked = self.whole(users)
        at = picked.items.row_ids()
        earlier = (picked.times < times[at]) | (
            (picked.times == times[at]) & (picked.rows < rows[at])
        )
        return _keep(picked, earlier)

    def others(self, users: Tensor, rows: Tensor) -> History:
        """Return whole histories without the event of source row ``rows`` ``[q]``."""
        picked = self.whole(users)
        return _keep(picked, picked.rows != rows[picked.items.row_ids()])


def _keep(history: History, keep: Tensor) -> History:
    rows = history.items.row_ids()[keep]
    lengths = torch.bincount(rows, minlength=len(history))
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    return History(
        RaggedIndices(history.items.values[keep], offsets),
        history.values[keep],
        history.times[keep],
        history.rows[keep],
    )


def training_queries(train: TrainData, limit: int) -> QueryBatch:
    """Return users with their positive training histories, at most ``limit``, drawn by seed."""
    events = train.interactions.select(train.positive.nonzero()[:, 0])
    users = torch.unique(events.users)
    if len(users) > limit:
        generator = torch.Generator().manual_seed(train.seed)
        users = users[torch.randperm(len(users), generator=generator)[:limit]].sort().values
    history = HistoryStore(events, train.n_users).whole(users)
    return QueryBatch(users, history, history.items, torch.zeros_like(users))


def taken(queries: QueryBatch, items: Tensor) -> Tensor:
    """Return ``[q, n]`` bool: which of the distinct items ``[n]`` are in the queries' histories."""
    ordered, order = items.sort()
    events = queries.history.items
    at = torch.searchsorted(ordered, events.values).clamp(max=len(items) - 1)
    inside = ordered[at] == events.values
    out = torch.zeros(len(queries), len(items), dtype=torch.bool)
    out[events.row_ids()[inside], order[at[inside]]] = True
    return out


def without(queries: QueryBatch, items: Tensor) -> QueryBatch:
    """Return the queries with these items taken out of their histories."""
    history = queries.history
    keep = ~torch.isin(history.items.values, items)
    rows = history.items.row_ids()[keep]
    counts = torch.bincount(rows, minlength=len(queries))
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    kept = RaggedIndices(history.items.values[keep], offsets)
    events = History(kept, history.values[keep], history.times[keep], history.rows[keep])
    return QueryBatch(queries.users, events, kept, queries.times)
