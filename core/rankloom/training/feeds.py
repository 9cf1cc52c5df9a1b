"""Feeds: the training log as batches of queries with targets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from rankloom.data.dataset import HistoryRule
from rankloom.data.histories import HistoryStore
from rankloom.data.interactions import Interactions
from rankloom.pipeline.query_fields import QueryFields
from rankloom.protocols import History, QueryBatch, RaggedIndices, TrainData

__all__ = ["Batches", "Feed", "PairFeed", "SequenceFeed", "StepBatch", "Uncounted"]


@dataclass(frozen=True)
class StepBatch:
    """What one step starts from.

    Attributes:
        queries: ``b`` queries.
        targets: ``[b]`` (pairs), or flat next items aligned with ``queries.history`` (sequences).
        values: Values of the targets, NaN where there is none.
        sequence: One target a position.
        positive: Bool, aligned with ``targets``: which of them are positives; None: all.
    """

    queries: QueryBatch
    targets: Tensor
    values: Tensor
    sequence: bool
    positive: Tensor | None = None

    def to(self, device: torch.device | str, **_: Any) -> StepBatch:
        """Return the batch on ``device`` (what Lightning calls to move it)."""
        if self.targets.device == torch.device(device):
            return self
        return StepBatch(
            self.queries.to(device),
            self.targets.to(device),
            self.values.to(device),
            self.sequence,
            None if self.positive is None else self.positive.to(device),
        )


@dataclass(frozen=True)
class Uncounted:
    """A batch that stands in where a process has no part of the global batch.

    Every process must take every step, so it computes a loss, which then counts nothing.
    """

    batch: Any

    def to(self, device: torch.device | str, **_: Any) -> Uncounted:
        """Return the batch on ``device``."""
        return Uncounted(self.batch.to(device))


class Feed(Protocol):
    """Random access to ``n`` training examples by index."""

    def __len__(self) -> int:
        """Examples of one epoch."""
        ...

    def batch(self, index: Tensor) -> Any:
        """Collate the examples ``index``: a :class:`StepBatch`, for the loss of a model."""
        ...


def _no_seen(n: int) -> RaggedIndices:
    return RaggedIndices(torch.empty(0, dtype=torch.long), torch.zeros(n + 1, dtype=torch.long))


class SequenceFeed:
    """Windows of users' histories: every position of a window is a query for the next item.

    A user with more events than ``max_length`` yields several windows, counted from the latest
    event, so that each event but a user's first is a target exactly once an epoch, however short
    the encoder's window is.

    Args:
        train: The training rows; needs positives in order.
        fields: Attaches raw query fields.
        max_length: Events that the history encoder reads; None: all of a user in one window.
    """

    def __init__(
        self, train: TrainData, fields: QueryFields, max_length: int | None = None
    ) -> None:
        self.fields = fields
        self.events = HistoryStore(train.interactions.select(train.positive), train.n_users).all
        pairs = (self.events.lengths - 1).clamp(min=0)
        length = max_length or max(int(pairs.max()) if len(pairs) else 0, 1)
        windows = (pairs + length - 1) // length
        self.users = torch.repeat_interleave(windows)
        first = torch.repeat_interleave(windows.cumsum(0) - windows, windows)
        back = (torch.arange(len(self.users)) - first) * length
        offsets = self.events.items.offsets
        self.stop = offsets[self.users + 1] - 1 - back
        self.start = torch.maximum(self.stop - length, offsets[self.users])

    def __len__(self) -> int:
        return len(self.users)

    def batch(self, index: Tensor) -> StepBatch:
        """Collate the windows ``index``: inputs, and each position's next event as its target."""
        users, start = self.users[index], self.start[index]
        lengths = self.stop[index] - start
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        at = torch.repeat_interleave(start - offsets[:-1], lengths) + torch.arange(int(offsets[-1]))
        events, items = self.events, self.events.items.values
        inputs = History(
            RaggedIndices(items[at], offsets), events.values[at], events.times[at], events.rows[at]
        )
        queries = QueryBatch(users, inputs, _no_seen(len(users)), torch.zeros_like(users))
        return StepBatch(
            self.fields.attach(queries), items[at + 1], events.values[at + 1], sequence=True
        )


class PairFeed:
    """One example an interaction: its user's other (or earlier) events are the history.

    Args:
        train: The training rows.
        fields: Attaches raw query fields.
        rule: ``before`` (strictly earlier) or ``others`` (all others).
        rated: Every row with a value is a target, else every positive. Objectives that learn from
            positives alone then count those among the targets.
        extra: Further targets, which are in nobody's history.
    """

    def __init__(
        self,
        train: TrainData,
        fields: QueryFields,
        rule: HistoryRule,
        rated: bool,
        extra: Interactions | None = None,
    ) -> None:
        self.fields = fields
        self.rule = rule
        keep = ~train.interactions.values.isnan() if rated else train.positive
        self.rows = train.interactions.select(keep)
        if extra is not None:
            self.rows = self.rows.followed_by(extra)
        self.positive = train.positive[keep] if rated else None
        self.store = HistoryStore(train.interactions.select(train.positive), train.n_users)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, index: Tensor) -> StepBatch:
        """Collate the rows ``index``."""
        rows = self.rows.select(index)
        if self.rule == "others":
            history = self.store.others(rows.users, rows.rows)
        else:
            history = self.store.before(rows.users, rows.times, rows.rows)
        queries = QueryBatch(rows.users, history, _no_seen(len(rows)), rows.times)
        positive = None if self.positive is None else self.positive[index]
        return StepBatch(
            self.fields.attach(queries), rows.items, rows.values, sequence=False, positive=positive
        )


class Batches(IterableDataset[Any]):
    """Shuffled batches of one epoch, the same for the same (seed, epoch).

    With several processes each takes every ``world``-th slice of the global batch, so that the
    union over ranks is the batch one process would have seen. ``run`` sets ``rank``, ``world`` and
    ``epoch`` in the process that trains.

    Args:
        feed: The examples.
        batch_size: Examples of the global batch.
        seed: Shuffles.
    """

    def __init__(self, feed: Feed, batch_size: int, seed: int) -> None:
        self.feed = feed
        self.batch_size = batch_size
        self.seed = seed
        self.rank = 0
        self.world = 1
        self.epoch = 0

    def __len__(self) -> int:
        return max((len(self.feed) + self.batch_size - 1) // self.batch_size, 1)

    def __iter__(self) -> Iterator[Any]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.feed), generator=generator)
        for index in torch.split(order, self.batch_size):
            mine = index[self.rank :: self.world]
            yield self.feed.batch(mine) if len(mine) else Uncounted(self.feed.batch(index[:1]))
