"""Feeds: the training log as batches of queries with targets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from rankloom.data.histories import HistoryStore
from rankloom.pipeline.query_fields import QueryFields
from rankloom.protocols import History, QueryBatch, RaggedIndices, TrainData

__all__ = ["Batches", "Feed", "PairFeed", "SequenceFeed", "StepBatch"]

HistoryRule = Literal["before", "others"]


@dataclass(frozen=True)
class StepBatch:
    """What one step starts from.

    Attributes:
        queries: ``b`` queries.
        targets: ``[b]`` (pairs), or flat next items aligned with ``queries.history`` (sequences).
        values: Values of the targets, NaN where there is none.
        sequence: One target a position.
    """

    queries: QueryBatch
    targets: Tensor
    values: Tensor
    sequence: bool

    def to(self, device: torch.device | str, **_: Any) -> StepBatch:
        """Return the batch on ``device`` (what Lightning calls to move it)."""
        return StepBatch(
            self.queries.to(device),
            self.targets.to(device),
            self.values.to(device),
            self.sequence,
        )


class Feed(Protocol):
    """Random access to ``n`` training examples by index."""

    def __len__(self) -> int:
        """Examples of one epoch."""
        ...

    def batch(self, index: Tensor) -> StepBatch:
        """Collate the examples ``index``."""
        ...


def _no_seen(n: int) -> RaggedIndices:
    return RaggedIndices(torch.empty(0, dtype=torch.long), torch.zeros(n + 1, dtype=torch.long))


class SequenceFeed:
    """One example a user: every position of the history is a query for the next item.

    Needs a causal history encoder and positives in order.
    """

    def __init__(self, train: TrainData, fields: QueryFields) -> None:
        self.fields = fields
        whole = HistoryStore(train.interactions.select(train.positive), train.n_users).all
        self.users = (whole.lengths >= 2).nonzero()[:, 0]
        self.events = whole

    def __len__(self) -> int:
        return len(self.users)

    def batch(self, index: Tensor) -> StepBatch:
        """Collate: inputs are all events but the last, targets all but the first."""
        users = self.users[index]
        events = self.events.select(users)
        ends = torch.zeros(len(events.times), dtype=torch.bool)
        ends[events.items.offsets[1:] - 1] = True
        starts = torch.zeros_like(ends)
        starts[events.items.offsets[:-1]] = True
        steps = torch.arange(len(events) + 1)
        inputs = History(
            RaggedIndices(events.items.values[~ends], events.items.offsets - steps),
            events.values[~ends],
            events.times[~ends],
            events.rows[~ends],
        )
        queries = QueryBatch(users, inputs, _no_seen(len(users)), torch.zeros_like(users))
        return StepBatch(
            self.fields.attach(queries),
            events.items.values[~starts],
            events.values[~starts],
            sequence=True,
        )


class PairFeed:
    """One example an interaction: its user's other (or earlier) events are the history.

    Args:
        train: The training rows.
        fields: Attaches raw query fields.
        rule: ``before`` (strictly earlier) or ``others`` (all others).
        rated: Every row with a value is a target, else every positive.
    """

    def __init__(
        self, train: TrainData, fields: QueryFields, rule: HistoryRule, rated: bool
    ) -> None:
        self.fields = fields
        self.rule = rule
        keep = ~train.interactions.values.isnan() if rated else train.positive
        self.rows = train.interactions.select(keep)
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
        return StepBatch(self.fields.attach(queries), rows.items, rows.values, sequence=False)


class Batches(IterableDataset[StepBatch]):
    """Shuffled batches of one epoch, the same for the same (seed, epoch).

    With several processes each takes every ``world``-th slice of the global batch, so that the
    union over ranks is the batch one process would have seen.
    """

    def __init__(
        self, feed: Feed, batch_size: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        self.feed = feed
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world = world
        self.epoch = 0

    def __len__(self) -> int:
        return max((len(self.feed) + self.batch_size - 1) // self.batch_size, 1)

    def __iter__(self) -> Iterator[StepBatch]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.feed), generator=generator)
        for index in torch.split(order, self.batch_size):
            mine = index[self.rank :: self.world]
            yield self.feed.batch(mine if len(mine) else index[:1])
