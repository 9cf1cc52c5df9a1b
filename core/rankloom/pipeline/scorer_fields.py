"""Raw fields that a scorer reads itself, like the texts that a cross-encoder joins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from rankloom.data.cache import EmbeddingCache
from rankloom.data.tables import Table
from rankloom.nn.encoding import encode_values
from rankloom.pipeline.field_encoding import Progress, Skipped, encode_fields
from rankloom.protocols import CandidateBatch, Features, QueryBatch

__all__ = ["ScorerFields"]


class ScorerFields:
    """Features of the encoders that one scorer declares under ``encoders:``.

    Item fields are collated once per item and looked up by index, for candidates and for histories;
    query fields are attached to every batch by :class:`QueryFields` under ``"<key>.<name>"``.

    Args:
        key: Unique among the scorers of the pipeline.
        encoders: By the name the scorer knows them by.
        fields: The dotted field each of them reads.
    """

    def __init__(self, key: str, encoders: Mapping[str, Any], fields: Mapping[str, str]) -> None:
        self.key = key
        self.encoders = dict(encoders)
        self.fields = dict(fields)
        self.items: dict[str, Features] = {}
        self.skipped: list[Skipped] = []
        self._blank: dict[str, Features] = {}

    @property
    def item_names(self) -> list[str]:
        """Encoders that read a field of the items."""
        return [name for name, field in self.fields.items() if field.startswith("item.")]

    @property
    def query_names(self) -> list[str]:
        """Encoders that read a field of the query or its user."""
        return [name for name in self.fields if name not in self.item_names]

    def load(
        self,
        items: Table,
        cache: EmbeddingCache | None,
        progress: Progress | None = None,
        device: torch.device | str | None = None,
    ) -> int:
        """Compute the features of all items, and of a missing value; returns how many were new."""
        own = {name: self.encoders[name] for name in self.item_names}
        found = encode_fields(own, self.fields, items, None, cache, progress, device)
        self.items, self.skipped = found.features, found.skipped
        for name, encoder in own.items():
            self._blank[name], _ = encode_values(encoder, [None], cache=None)
        return found.encoded

    def append(self, items: Table, rows: list[int], cache: EmbeddingCache | None) -> None:
        """Compute the features of new rows of a longer table."""
        for name, known in self.items.items():
            values = items.values(self.fields[name], rows)
            fresh, _ = encode_values(self.encoders[name], values, cache=cache)
            self.items[name] = Features.cat([known, fresh])

    def lookup(self, name: str, items: Tensor) -> Features:
        """Return features ``[m, ...]`` of item indices ``[m]``; -1 and later items are missing.

        Raises:
            LookupError: The scorer declared no encoder of an item field by that name.
        """
        if name not in self.items:
            raise LookupError(
                f"The scorer declared no item encoder {name!r} under 'encoders:'; it has: "
                f"{', '.join(self.items) or 'none'}."
            )
        known = self.items[name]
        at = items.cpu()
        inside = (at >= 0) & (at < len(known))
        if bool(inside.all()):
            return known.select(at).to(items.device)
        # The blank row stands behind all others.
        rows = at.masked_fill(~inside, len(known))
        return Features.cat([known, self._blank[name]]).select(rows).to(items.device)

    def attach(
        self, queries: QueryBatch, candidates: CandidateBatch
    ) -> tuple[QueryBatch, CandidateBatch]:
        """Return both batches with the features by the names the scorer knows."""
        own = {
            name: queries.fields[f"{self.key}.{name}"]
            for name in self.query_names
            if f"{self.key}.{name}" in queries.fields
        }
        history = queries.history.with_lookup(self.lookup)
        asked = replace(queries, fields={**queries.fields, **own}, history=history)
        return asked, replace(candidates, lookup=self.lookup)
