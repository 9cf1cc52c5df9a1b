"""A slate in external ids, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from rankloom.data.tables import Table

__all__ = ["Slate"]


@dataclass(frozen=True)
class Slate:
    """What is shown to one user.

    Attributes:
        items: External ids, best first.
        scores: Their scores.
        log_probs: Log-probability of each slot given the earlier ones.
        fields: Raw item fields, by name.
        trace: How it came about (fallback, items kept away, candidates).
    """

    items: list[str]
    scores: list[float]
    log_probs: list[float]
    fields: Mapping[str, list[Any]] = field(default_factory=dict)
    trace: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.items)

    def frame(self) -> pl.DataFrame:
        """Return rank, item, score, log_prob and the item fields."""
        columns: dict[str, Any] = {
            "rank": list(range(1, len(self) + 1)),
            "item": self.items,
            "score": self.scores,
            "log_prob": self.log_probs,
        }
        return pl.DataFrame({**columns, **self.fields}, strict=False)

    def to_dict(self) -> dict[str, Any]:
        """Return something that JSON can hold."""
        rows = [
            {
                "rank": i + 1,
                "item": item,
                "score": self.scores[i],
                "log_prob": self.log_probs[i],
                **{name: values[i] for name, values in self.fields.items()},
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
        keep = [i for i, item in enumerate(items) if item >= 0]
        rows = [items[i] for i in keep]
        fields = {name: table.values(name, rows) for name in table.fields}
        return Slate(
            table.ids.external(rows),
            [scores[i] for i in keep],
            [log_probs[i] for i in keep],
            fields,
            trace,
        )
