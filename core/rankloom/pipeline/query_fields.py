"""Raw fields of queries: user fields of a table, or values that came with a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from rankloom.data.cache import EmbeddingCache
from rankloom.data.tables import Table
from rankloom.errors import DataError
from rankloom.nn.encoding import encode_values
from rankloom.pipeline.field_encoding import Progress, Skipped, encode_fields
from rankloom.protocols import Features, QueryBatch

__all__ = ["QueryFields"]


class QueryFields:
    """Keeps the features of every user for the query encoders of all models.

    Args:
        encoders: By ``"model.encoder"``; those that read a field, not the history.
        fields: The dotted field each of them reads.
    """

    def __init__(self, encoders: Mapping[str, Any], fields: Mapping[str, str]) -> None:
        self.encoders = dict(encoders)
        self.fields = dict(fields)
        self.skipped: list[Skipped] = []
        self._users: dict[str, Features] = {}
        self._blank: dict[str, Features] = {}

    def load(
        self,
        users: Table,
        cache: EmbeddingCache | None,
        progress: Progress | None = None,
        device: torch.device | str | None = None,
    ) -> int:
        """Compute features of all users, and of a missing value; returns how many were new."""
        for key, encoder in self.encoders.items():
            self._blank[key], _ = encode_values(encoder, [None], cache=None)
        own = {k: e for k, e in self.encoders.items() if self.fields[k].startswith("user.")}
        found = encode_fields(own, self.fields, users, None, cache, progress, device)
        self._users, self.skipped = found.features, found.skipped
        return found.encoded

    def attach(
        self, queries: QueryBatch, given: Mapping[str, Sequence[Any]] | None = None
    ) -> QueryBatch:
        """Return the queries with features for every declared field.

        Args:
            queries: The batch.
            given: ``{"user.age": values, "query.text": values}``, one a query, None where the
                stored value (or a missing one) counts.
        """
        if not self.encoders:
            return queries
        features = {key: self._features(key, queries, given or {}) for key in self.encoders}
        return replace(queries, fields=features)

    def _features(
        self, key: str, queries: QueryBatch, given: Mapping[str, Sequence[Any]]
    ) -> Features:
        stored = self._users.get(key)
        n = len(queries)
        if stored is None or not len(stored):
            base = self._blank[key].select(torch.zeros(n, dtype=torch.long))
        else:
            known = (queries.users >= 0) & (queries.users < len(stored))
            picked = stored.select(queries.users.clamp(min=0, max=len(stored) - 1))
            base = Features(picked.tensors, picked.present & known)
        values = given.get(self.fields[key])
        if values is None or all(value is None for value in values):
            return base
        fresh, _ = encode_values(self.encoders[key], list(values), cache=None)
        if fresh.problems:
            reason = next(iter(fresh.problems.values()))
            raise DataError(f"The request's {self.fields[key]!r} cannot be read: {reason}.")
        both = Features.cat([base, fresh])
        pick = [n + i if value is not None else i for i, value in enumerate(values)]
        return both.select(torch.tensor(pick))
