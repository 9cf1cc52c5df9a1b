"""Queries and candidates as scorers, retrievers and policies see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rankloom.protocols.features import Encoded, Features
from rankloom.protocols.history import History
from rankloom.protocols.ragged import RaggedIndices

__all__ = ["CandidateBatch", "QueryBatch"]


@dataclass(frozen=True)
class QueryBatch:
    """``q`` queries over contiguous indices; never a string.

    Attributes:
        users: ``[q]`` int64, -1 for a user unknown at fit time.
        history: Positive interactions before each query.
        seen: Every item each user has interacted with, positive or not; what the ``seen`` guard
            and the protocol's exclusions read.
        times: ``[q]`` int64 request time, 0 where unknown.
        encoded: Query vectors ``[q, d]`` of the model that is scoring, if it has a query tower.
        fields: Features of raw query fields that a scorer or the query tower declared, by encoder
            name.
        text_vectors: ``{model: [q, d]}``: the pseudo-item of each query's free text; zero rows
            where ``has_text`` is False.
        has_text: ``[q]`` bool or None when no query has free text.
    """

    users: Tensor
    history: History
    seen: RaggedIndices
    times: Tensor
    encoded: Encoded | None = None
    fields: Mapping[str, Features] = field(default_factory=dict)
    text_vectors: Mapping[str, Tensor] = field(default_factory=dict)
    has_text: Tensor | None = None

    def __len__(self) -> int:
        return int(self.users.shape[0])

    @property
    def device(self) -> torch.device:
        """Where the batch lives."""
        return self.users.device

    def features(self, name: str) -> Features:
        """Return the features of a declared query field, ``[q, ...]``.

        Raises:
            LookupError: No consumer declared an encoder of that name.
        """
        if name not in self.fields:
            raise LookupError(
                f"No query encoder {name!r} was declared; these queries carry the features of: "
                f"{', '.join(self.fields) or 'none'}."
            )
        return self.fields[name]

    def with_encoded(self, encoded: Encoded) -> QueryBatch:
        """Return the same queries with a model's vectors."""
        return QueryBatch(
            self.users,
            self.history,
            self.seen,
            self.times,
            encoded,
            self.fields,
            self.text_vectors,
            self.has_text,
        )

    def to(self, device: torch.device | str) -> QueryBatch:
        """Return the queries on ``device``."""
        if self.users.device == torch.device(device):
            return self
        return QueryBatch(
            self.users.to(device),
            self.history.to(device),
            self.seen.to(device),
            self.times.to(device),
            None if self.encoded is None else self.encoded.to(device),
            {name: features.to(device) for name, features in self.fields.items()},
            {name: vectors.to(device) for name, vectors in self.text_vectors.items()},
            None if self.has_text is None else self.has_text.to(device),
        )

    def select(self, rows: Tensor) -> QueryBatch:
        """Return the queries ``rows``, in that order."""
        return QueryBatch(
            self.users[rows],
            self.history.select(rows),
            self.seen.select(rows),
            self.times[rows],
            None if self.encoded is None else self.encoded.select(rows),
            {name: features.select(rows) for name, features in self.fields.items()},
            {name: vectors[rows] for name, vectors in self.text_vectors.items()},
            None if self.has_text is None else self.has_text[rows],
        )


@dataclass(frozen=True)
class CandidateBatch:
    """Items to score: the same ``n`` for all queries, or ``n`` for each.

    Attributes:
        items: ``[n]`` or ``[q, n]`` int64; -1 at padding.
        mask: None (all valid) or bool of the shape ``[q, n]``, True where the item may be scored.
        log_q: Log-probability of drawing each item (samplers), of ``items``' shape, or None.
        encoded: Item vectors ``[n, d]`` or ``[q, n, d]`` of the model that is scoring.
        lookup: Returns features by encoder name and item indices (set by core).
        reasons: ``{reason: [q, n] bool}``: why an entry is masked, for the trace.
        whole: ``items`` is the whole catalog in order, 0 to n - 1 without padding. Nobody has to
            look for padding then, nor gather rows of a table.
    """

    items: Tensor
    mask: Tensor | None = None
    log_q: Tensor | None = None
    encoded: Encoded | None = None
    lookup: Callable[[str, Tensor], Features] | None = None
    reasons: Mapping[str, Tensor] = field(default_factory=dict)
    whole: bool = False

    @property
    def shared(self) -> bool:
        """True if all queries have the same candidates."""
        return self.items.dim() == 1

    @property
    def width(self) -> int:
        """``n``."""
        return int(self.items.shape[-1])

    def features(self, name: str) -> Features:
        """Return the features ``[n or q*n, ...]`` of a declared item field.

        Raises:
            LookupError: The batch carries no raw fields or no encoder has that name.
        """
        if self.lookup is None:
            raise LookupError(
                f"These candidates carry no raw fields, so not {name!r} either; a scorer that "
                "reads them declares them under 'encoders:'."
            )
        return self.lookup(name, self.items.reshape(-1))

    def to(self, device: torch.device | str) -> CandidateBatch:
        """Return the candidates on ``device``."""
        if self.items.device == torch.device(device):
            return self
        return CandidateBatch(
            self.items.to(device),
            None if self.mask is None else self.mask.to(device),
            None if self.log_q is None else self.log_q.to(device),
            None if self.encoded is None else self.encoded.to(device),
            self.lookup,
            {name: mask.to(device) for name, mask in self.reasons.items()},
            self.whole,
        )

    def with_encoded(self, encoded: Encoded) -> CandidateBatch:
        """Return the same candidates with a model's vectors."""
        return CandidateBatch(
            self.items, self.mask, self.log_q, encoded, self.lookup, self.reasons, self.whole
        )

    def expand(self, q: int) -> Tensor:
        """Return the items as ``[q, n]``."""
        return self.items.expand(q, -1) if self.shared else self.items

    def at(self, columns: Tensor) -> Tensor:
        """Return the items ``[q, k]`` in columns ``[q, k]``, each from 0 to n - 1."""
        return columns if self.whole else self.expand(columns.shape[0]).gather(1, columns)

    def allowed(self, q: int) -> Tensor:
        """Return the mask as ``[q, n]`` bool, to be read only; padding is never allowed."""
        if self.whole and self.mask is not None:
            return self.mask
        real = self.expand(q) >= 0
        return real if self.mask is None else real & self.mask

    def gather(self, scores: Tensor) -> Tensor:
        """Pick ``[q, n]`` values of these items out of ``[q, n_items]`` catalog-wide values.

        Padding (-1) reads item 0 and is masked by the caller.
        """
        items = self.items.clamp(min=0)
        if self.shared:
            return scores[:, items]
        return scores.gather(1, items)
