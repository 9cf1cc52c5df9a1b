"""Tables of ids and typed fields: the catalog and the users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from rankloom.data.fields import FieldSpec
from rankloom.data.ids import IdMap
from rankloom.errors import DataError, did_you_mean

__all__ = ["SEPARATOR", "Table"]

#: What separates the values of a ``multiple`` field in one cell.
SEPARATOR = "|"


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

    def select(self, rows: list[int]) -> Table:
        """Return a table of these rows alone, in their order."""
        return Table(self.side, IdMap(self.ids.external(rows)), self.frame[rows], self.fields)

    def extended(self, ids: list[object], values: pl.DataFrame) -> Table:
        """Return the table with new rows appended; the given ids must be new.

        Args:
            ids: External ids.
            values: One row an id; absent columns become missing values, unknown ones are an error.
                Several values in one text are separated by ``|``.

        Raises:
            DataError: A column is no field or of another type, or an id is there already.
        """
        for name in values.columns:
            self.field(name)
        clash = [key for key in ids if key in self.ids]
        if clash:
            raise DataError(f"{self.side} id {clash[0]!r} is already in the table.")
        fresh = pl.DataFrame(
            {
                name: (
                    _as_type(values[name], dtype, self.side)
                    if name in values.columns
                    else pl.Series(name, [None] * len(ids), dtype=dtype)
                )
                for name, dtype in self.frame.schema.items()
            }
        )
        merged = IdMap(self.ids.ids)
        merged.extend(ids)
        return Table(self.side, merged, pl.concat([self.frame, fresh]), self.fields)


def _as_type(values: pl.Series, dtype: pl.DataType, side: str) -> pl.Series:
    """Return new values of a field as the table keeps them.

    Raises:
        DataError: One of them is no value of that type.
    """
    if isinstance(dtype, pl.List) and values.dtype == pl.String:
        values = values.str.split(SEPARATOR)
    try:
        return values.cast(dtype)
    except pl.exceptions.PolarsError as error:
        wrong = _first_wrong(values, dtype)
        raise DataError(
            f"The {side} field {values.name!r} holds {dtype}, but the new {side}s have {wrong}. "
            f"Give values of the type that the field had at fit time, or None where they are "
            f"missing."
        ) from error


def _first_wrong(values: pl.Series, dtype: pl.DataType) -> str:
    try:
        lost = values.cast(dtype, strict=False).is_null() & values.is_not_null()
        row = int(lost.arg_max() or 0)
    except pl.exceptions.PolarsError:
        return f"{values.dtype}"
    return f"{values[row]!r} (row {row + 1})"
