"""Tables of ids and typed fields: the catalog and the users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from rankloom.data.fields import FieldSpec
from rankloom.data.ids import IdMap
from rankloom.errors import DataError, did_you_mean

__all__ = ["Table"]


@dataclass(frozen=True)
class Table:
    """Rows of one side by contiguous index.

    Attributes:
        side: ``"item"`` or ``"user"``.
        ids: External ids by index.
        frame: One row for each index, one column for each field (short names, without the side).
        fields: Specs by short name (``"title"``); ``"id"`` is always there.
    """

    side: str
    ids: IdMap
    frame: pl.DataFrame
    fields: Mapping[str, FieldSpec] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def field(self, name: str) -> FieldSpec:
        """Return a field's spec by short (``title``) or dotted (``item.title``) name.

        Raises:
            DataError: The table has no such field.
        """
        short = name.removeprefix(f"{self.side}.")
        if short == "id":
            return FieldSpec(f"{self.side}.id", "id")
        if short not in self.fields:
            known = ["id", *self.fields]
            raise DataError(
                f"The {self.side} table has no field {short!r}.{did_you_mean(short, known)} "
                f"Fields: {', '.join(known)}."
            )
        return self.fields[short]

    def values(self, name: str, rows: list[int] | None = None) -> list[Any]:
        """Return raw values of a field (None where missing), for all rows or the given ones.

        The field ``id`` yields contiguous indices, not external ids.
        """
        short = name.removeprefix(f"{self.side}.")
        if short == "id":
            return list(range(len(self))) if rows is None else list(rows)
        self.field(short)
        column = self.frame[short]
        return (column if rows is None else column.gather(rows)).to_list()

    def extended(self, ids: list[object], values: pl.DataFrame) -> Table:
        """Return the table with new rows appended; the given ids must be new.

        Args:
            ids: External ids.
            values: One row an id; absent columns become missing values, unknown ones are an error.
        """
        for name in values.columns:
            self.field(name)
        clash = [key for key in ids if key in self.ids]
        if clash:
            raise DataError(f"{self.side} id {clash[0]!r} is already in the table.")
        fresh = pl.DataFrame(
            {
                name: (
                    values[name].cast(dtype)
                    if name in values.columns
                    else pl.Series(name, [None] * len(ids), dtype=dtype)
                )
                for name, dtype in self.frame.schema.items()
            }
        )
        merged = IdMap(self.ids.ids)
        merged.extend(ids)
        return Table(self.side, merged, pl.concat([self.frame, fresh]), self.fields)
