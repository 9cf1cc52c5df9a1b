"""What is handed to components that learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from rankloom.protocols.batches import CandidateBatch, QueryBatch
from rankloom.protocols.ragged import RaggedIndices
from rankloom.protocols.scores import Scores

if TYPE_CHECKING:
    from rankloom.data.interactions import Interactions
    from rankloom.data.tables import Table

__all__ = [
    "ScoreFunction",
    "TargetKind",
    "TrainBatch",
    "TrainData",
    "ValidationBlock",
    "ValidationData",
]

ScoreFunction = Callable[[CandidateBatch], Scores]
TargetKind = Literal["positive", "rating"]


@dataclass(frozen=True)
class TrainData:
    """The training rows and nothing else; what ``prepare`` and ``fit`` see.

    Attributes:
        interactions: Training interactions, sorted by (user, time, source row).
        positive: ``[rows]`` bool: which of them are positives.
        items: The catalog. Statistics (vocabularies, IDF, bins) must be taken over ``universe``.
        users: The user table.
        universe: ``[n_items]`` bool: items with at least one positive training interaction. Models
            know no other item.
        known_users: ``[n_users]`` bool: users with at least one training interaction.
        seed: Seed of everything random in the fit.
    """

    interactions: Interactions
    positive: Tensor
    items: Table
    users: Table
    universe: Tensor
    known_users: Tensor
    seed: int = 0

    def known(self, side: str) -> Tensor:
        """``[rows]`` bool: the universe for ``item`` fields, the known users for ``user`` ones."""
        return self.universe if side == "item" else self.known_users

    def values(self, field: str) -> list[Any]:
        """Raw values of a dotted field in the rows with training data alone.

        Vocabularies, document frequencies and bins must see no others.
        """
        side = field.partition(".")[0]
        table = self.items if side == "item" else self.users
        rows: list[int] = torch.nonzero(self.known(side))[:, 0].tolist()
        return table.values(field, rows)

    @property
    def n_items(self) -> int:
        """Rows of the catalog."""
        return int(self.universe.shape[0])

    @property
    def n_users(self) -> int:
        """Rows of the user table."""
        return int(self.known_users.shape[0])


@dataclass(frozen=True)
class TrainBatch:
    """One step of gradient training: queries, their targets, what to compare them with.

    Attributes:
        queries: ``q`` queries whose ``encoded`` holds the query vectors, when the model has any.
        targets: ``[q]`` int64 item indices.
        values: ``[q]`` float32 values of the targets (ratings), NaN where there is none.
        weights: ``[q]`` float32 sample weights.
        candidates: What the objective asked for: the training universe ``[n]`` (``catalog``),
            sampled negatives ``[q, s]`` or ``[s]`` with ``log_q`` (``sampled``), the batch's own
            targets (``batch``), or None.
        target_columns: ``[q]`` column of each target in a shared ``candidates``, or None.
    """

    queries: QueryBatch
    targets: Tensor
    values: Tensor
    weights: Tensor
    candidates: CandidateBatch | None = None
    target_columns: Tensor | None = None

    def __len__(self) -> int:
        return int(self.targets.shape[0])

    def target_candidates(self) -> CandidateBatch:
        """Each query's own target as its one candidate, ``[q, 1]``."""
        return CandidateBatch(self.targets[:, None])

    def with_candidates(self, candidates: CandidateBatch, columns: Tensor | None) -> TrainBatch:
        """Return the batch with what the objective compares against."""
        return replace(self, candidates=candidates, target_columns=columns)


@dataclass(frozen=True)
class ValidationBlock:
    """A block of validation queries with every candidate that serving would see.

    Attributes:
        queries: Histories hold training rows only.
        candidates: Shared ``[n]`` or ``[q, n]`` with the protocol's exclusions masked.
        targets: Held-out positives of each query.
        values: Values of the targets, flat like ``targets.values``.
    """

    queries: QueryBatch
    candidates: CandidateBatch
    targets: RaggedIndices
    values: Tensor


@dataclass(frozen=True)
class ValidationData:
    """Validation queries in blocks; iterate as often as needed.

    Attributes:
        blocks: Makes a fresh iterator over the blocks.
        generator: For components that subsample.
    """

    blocks: Callable[[], Iterator[ValidationBlock]]
    generator: torch.Generator = field(default_factory=torch.Generator)
    n: int = 0

    def __iter__(self) -> Iterator[ValidationBlock]:
        return self.blocks()
