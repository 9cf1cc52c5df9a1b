"""Requests in external ids, and the batches they become."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, SupportsIndex

import torch
from torch import Tensor

from rankloom.data.histories import HistoryStore
from rankloom.data.tables import Table
from rankloom.errors import QueryError, did_you_mean
from rankloom.pipeline.builder import Parts
from rankloom.protocols import History, QueryBatch, RaggedIndices

__all__ = ["Query", "QueryResolver", "check_k", "unknown_id"]


@dataclass(frozen=True)
class Query:
    """Who asks.

    Attributes:
        user: A known user's id, or None.
        history: Item ids, oldest first; replaces the stored history.
        append_history: Item ids added to the stored history.
        text: Free text.
        fields: Values of query fields by dotted name (``user.age``).
        k: Slots.
        exclude: Item ids that must not be shown.
    """

    user: object | None = None
    history: Sequence[object] | None = None
    append_history: Sequence[object] = ()
    text: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    k: int = 10
    exclude: Sequence[object] = ()


class QueryResolver:
    """Turns queries into one batch.

    Args:
        items: The catalog.
        users: The users.
        positive: Stored positive events of every user.
        seen: Stored events of every user.
        parts: The pipeline, for free text and query fields.
        text_as: The item field free text stands for; None if no item encoder reads text.
    """

    def __init__(
        self,
        items: Table,
        users: Table,
        positive: HistoryStore,
        seen: HistoryStore,
        parts: Parts,
        text_as: str | None,
    ) -> None:
        self.items = items
        self.users = users
        self.positive = positive
        self.seen = seen
        self.parts = parts
        self.text_as = text_as

    def resolve(self, queries: Sequence[Query]) -> QueryBatch:
        """Return the batch.

        Raises:
            QueryError: An id or a field is unknown, or free text cannot be used here.
        """
        users = torch.tensor([self._user(query) for query in queries], dtype=torch.long)
        stored = self.positive.whole(users)
        # Mostly every event is a positive one, and both are the same store.
        seen = (stored if self.seen is self.positive else self.seen.whole(users)).items
        plain = all(q.history is None and not q.append_history and not q.text for q in queries)
        times = torch.zeros_like(users)
        if plain:
            batch = QueryBatch(users, stored, seen, times)
        else:
            batch = self._with_requests(queries, users, stored, seen, times)
        return self.parts.query_fields.attach(batch, self._given(queries))

    def exclusions(self, queries: Sequence[Query]) -> RaggedIndices | None:
        """Return the items that requests themselves rule out, or None."""
        if not any(query.exclude for query in queries):
            return None
        return RaggedIndices.from_lists([self._items(query.exclude) for query in queries])

    def _with_requests(
        self,
        queries: Sequence[Query],
        users: Tensor,
        stored: History,
        seen: RaggedIndices,
        times: Tensor,
    ) -> QueryBatch:
        texts = [query.text.strip() if query.text else "" for query in queries]
        vectors = self._text_vectors(texts)
        rows, kept = [], []
        for i, query in enumerate(queries):
            own = stored.items[i]
            source = torch.arange(int(stored.items.offsets[i]), int(stored.items.offsets[i + 1]))
            if query.history is not None:
                own, source = self._items(query.history), torch.empty(0, dtype=torch.long)
            extra = self._items(query.append_history)
            pseudo = torch.full((1 if texts[i] else 0,), -1)
            rows.append(torch.cat([own, extra, pseudo]))
            fresh = len(rows[-1]) - len(source)
            kept.append(torch.cat([source, torch.full((fresh,), -1)]))
        items = RaggedIndices.from_lists(rows)
        at = torch.cat(kept)
        history = History(
            items,
            _pick(stored.values, at, torch.nan),
            _pick(stored.times, at, 0),
            _pick(stored.rows, at, -1),
            {name: v[[i for i, t in enumerate(texts) if t]] for name, v in vectors.items()},
        )
        real = [row[row >= 0] for row in rows]
        known = RaggedIndices.cat_rows([seen, RaggedIndices.from_lists(real)])
        has_text = torch.tensor([bool(text) for text in texts])
        return QueryBatch(users, history, known, times, text_vectors=vectors, has_text=has_text)

    def _text_vectors(self, texts: Sequence[str]) -> dict[str, Tensor]:
        if not any(texts):
            return {}
        out: dict[str, Tensor] = {}
        for name, table in self.parts.tables.items():
            if self.text_as is None:
                break
            found = [table.pseudo_item(self.text_as, text) if text else None for text in texts]
            if any(vector is not None for vector in found):
                blank = table.vectors.new_zeros(1, table.vectors.shape[1])
                out[name] = torch.cat([blank if v is None else v for v in found])
        reads_text = any(f == "query.text" for f in self.parts.query_fields.fields.values())
        if not out and not reads_text:
            raise QueryError(
                "This pipeline cannot read free text: no item encoder reads a text field. "
                "Add one (for example {type: bert, field: title}), or ask with a history."
            )
        return out

    def _given(self, queries: Sequence[Query]) -> dict[str, list[Any]]:
        known = set(self.parts.query_fields.fields.values())
        given: dict[str, list[Any]] = {}
        for query in queries:
            for name in query.fields:
                if name not in known:
                    raise QueryError(
                        f"No query encoder reads the field {name!r}.{did_you_mean(name, known)} "
                        f"Fields read: {', '.join(sorted(known)) or 'none'}."
                    )
                given[name] = [q.fields.get(name) for q in queries]
        if any(query.text for query in queries):
            given["query.text"] = [query.text or None for query in queries]
        return given

    def _user(self, query: Query) -> int:
        if query.user is None:
            return -1
        index = self.users.ids.index(query.user)
        if index < 0 and query.history is None and not query.append_history and not query.text:
            raise QueryError(
                f"{unknown_id(self.users, query.user)} For a new user give a history or free text "
                f"instead: recommend(history=[...])."
            )
        return index

    def _items(self, ids: Sequence[object]) -> Tensor:
        if isinstance(ids, str):
            raise QueryError(f"Item ids come as a list, got the text {ids!r}: write [{ids!r}].")
        index = torch.from_numpy(self.items.ids.indices(ids)).long()
        if bool((index < 0).any()):
            bad = ids[int((index < 0).nonzero()[0, 0])]
            raise QueryError(unknown_id(self.items, bad))
        return index


def check_k(k: object) -> None:
    """Check a number of slots.

    Raises:
        QueryError: It is no whole number from 1 on.
    """
    if isinstance(k, bool) or not isinstance(k, int | SupportsIndex) or operator.index(k) < 1:
        raise QueryError(f"k must be a whole number and at least 1, got {k!r}.")


def unknown_id(table: Table, key: object) -> str:
    """Return the message about an id that a table does not have."""
    known = table.ids.ids
    close = did_you_mean(str(key), known[:20000])
    return (
        f"Unknown {table.side} {key!r}.{close} There are {len(known)} {table.side}s; their ids are "
        f"those of the data, such as {', '.join(repr(one) for one in known[:3]) or 'none'}."
    )


def _pick(values: Tensor, at: Tensor, missing: float) -> Tensor:
    out = torch.full((len(at),), missing, dtype=values.dtype)
    there = at >= 0
    out[there] = values[at[there]]
    return out
