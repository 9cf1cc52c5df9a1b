"""Queries of a validation or test phase, in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rankloom.data.dataset import Dataset, Phase
from rankloom.data.histories import HistoryStore
from rankloom.pipeline.query_fields import QueryFields
from rankloom.protocols import (
    CandidateBatch,
    QueryBatch,
    RaggedIndices,
    ValidationBlock,
    ValidationData,
)

__all__ = ["PhaseQueries", "RatingBlock"]


@dataclass(frozen=True)
class RatingBlock:
    """Rows whose value is to be predicted.

    Attributes:
        queries: One a row.
        candidates: Each row's item, ``[m, 1]``.
        values: ``[m]`` float32.
    """

    queries: QueryBatch
    candidates: CandidateBatch
    values: Tensor


class PhaseQueries:
    """Turns a phase into batches of queries.

    Args:
        dataset: The data.
        phase: What is to be found, and what may be known.
        fields: Attaches raw query fields.
    """

    def __init__(self, dataset: Dataset, phase: Phase, fields: QueryFields) -> None:
        self.dataset = dataset
        self.phase = phase
        self.fields = fields
        n_users = len(dataset.users)
        events = dataset.interactions
        positive = dataset.positive
        history = phase.history
        self.positive_history = HistoryStore(events.select(history[positive[history]]), n_users)
        self.excluded = HistoryStore(events.select(phase.excluded), n_users)
        ranked = phase.targets[positive[phase.targets]]
        self.targets = HistoryStore(events.select(ranked), n_users)
        self.users = (self.targets.all.lengths > 0).nonzero()[:, 0]

    def __len__(self) -> int:
        return len(self.users)

    def queries(self, users: Tensor) -> QueryBatch:
        """Return what may be known of these users."""
        targets = self.targets.whole(users)
        first = targets.items.offsets[:-1].clamp(max=max(len(targets.times) - 1, 0))
        times = targets.times[first] if len(targets.times) else torch.zeros_like(users)
        batch = QueryBatch(
            users,
            self.positive_history.whole(users),
            self.excluded.whole(users).items,
            times,
        )
        return self.fields.attach(batch)

    def blocks(self, size: int) -> Iterator[tuple[QueryBatch, RaggedIndices, Tensor]]:
        """Yield (queries, targets, target values) of ``size`` users at a time."""
        for users in torch.split(self.users, size):
            found = self.targets.whole(users)
            yield self.queries(users), found.items, found.values

    def validation(self, size: int, seed: int) -> ValidationData:
        """Return the phase as components see it when they calibrate."""

        def make() -> Iterator[ValidationBlock]:
            allowed = self.phase.candidates
            items = torch.arange(len(allowed))
            for queries, targets, values in self.blocks(size):
                mask = allowed.repeat(len(queries), 1)
                mask[queries.seen.row_ids(), queries.seen.values] = False
                yield ValidationBlock(
                    queries, CandidateBatch(items, mask, whole=True), targets, values
                )

        generator = torch.Generator().manual_seed(seed)
        return ValidationData(make, generator, len(self))

    def ratings(self, size: int) -> Iterator[RatingBlock]:
        """Yield target rows that have a value, with the whole allowed history of their user."""
        rows = self.phase.targets
        rows = rows[~self.dataset.interactions.values[rows].isnan()]
        for part in torch.split(rows, size):
            events = self.dataset.interactions.select(part)
            batch = QueryBatch(
                events.users,
                self.positive_history.whole(events.users),
                self.excluded.whole(events.users).items,
                events.times,
            )
            yield RatingBlock(
                self.fields.attach(batch), CandidateBatch(events.items[:, None]), events.values
            )
