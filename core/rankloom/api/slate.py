"""A slate in external ids, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from rankloom.data.tables import Table

__all__ = ["Slate"]


class _Fields(Mapping[str, list[Any]]):
    """Raw item fields of some rows, read from the catalog when they are asked for."""

    def __init__(self, table: Table, rows: list[int]) -> None:
        self._table, self._rows = table, rows

    def __getitem__(self, name: str) -> list[Any]:
        if name not in self._table.fields:
            raise KeyError(name)
        return self._table.values(name, self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.fields)

    def __len__(self) -> int:
        return len(self._table.fields)

    def __repr__(self) -> str:
        return repr(dict(self))


@dataclass(frozen=True)
class Slate:
    """What is shown to one user.

    Attributes:
        items: External ids, best first.
        scores: Their scores.
        log_probs: Log-probability of each slot given the earlier ones.
        fields: Raw item fields, by name; read from the catalog when asked for.
        trace: How it came about (fallback, items kept away, candidates).
    """

    items: Sequence[str]
    scores: Sequence[float]
    log_probs: Sequence[float]
    fields: Mapping[str, list[Any]] = field(default_factory=dict)
    trace: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[str]:
        return iter(self.items)

    def frame(self) -> pl.DataFrame:
        """Return rank, item, score, log_prob and the item fields."""
        own: dict[str, Any] = {
            "rank": pl.Series(range(1, len(self) + 1), dtype=pl.Int64),
            "item": pl.Series(self.items, dtype=pl.String),
            "score": pl.Series(self.scores, dtype=pl.Float64),
            "log_prob": pl.Series(self.log_probs, dtype=pl.Float64),
        }
        more = {name: values for name, values in self.fields.items() if name not in own}
        return pl.DataFrame({**own, **more}, strict=False)

    def to_dict(self) -> dict[str, Any]:
        """Return something that JSON can hold."""
        columns = dict(self.fields)
        rows = [
            {
                **{name: values[i] for name, values in columns.items()},
                "rank": i + 1,
                "item": item,
                "score": self.scores[i],
                "log_prob": self.log_probs[i],
            }
            for i, item in enumerate(self.items)
        ]
        return {"items": rows, "trace": dict(self.trace)}

    def _repr_html_(self) -> str:
        html: str = self.frame()._repr_html_()
        return html

    def __str__(self) -> str:
        return str(self.frame())

    @staticmethod
    def of(
        table: Table,
        items: list[int],
        scores: list[float],
        log_probs: list[float],
        trace: Mapping[str, Any],
    ) -> Slate:
        """Translate indices, leaving empty slots out."""
        if min(items, default=0) < 0:
            keep = [slot for slot, item in enumerate(items) if item >= 0]
            items = [items[slot] for slot in keep]
            scores = [scores[slot] for slot in keep]
            log_probs = [log_probs[slot] for slot in keep]
        ids = table.ids.external(items)
        return Slate(ids, scores, log_probs, _Fields(table, items), trace)
