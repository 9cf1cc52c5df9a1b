"""From raw tables to typed fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from rankloom.data.cells import first, split_cells
from rankloom.data.checks import (
    Decimal,
    Origin,
    RowChecks,
    not_a_number,
    parse_ids,
    parse_numbers,
    parse_times,
)
from rankloom.data.fields import FieldSpec
from rankloom.data.ids import IdMap
from rankloom.data.tables import SEPARATOR, Table
from rankloom.errors import DataError

__all__ = ["FieldSource", "as_frame", "build_table", "table_of_ids"]


@dataclass(frozen=True)
class FieldSource:
    """A declared field and where its values stand.

    Attributes:
        spec: The field.
        column: Its column in the raw table.
        separator: Between the values of one cell (``multiple`` and ``vector`` fields).
        time_format: Of a ``timestamp`` field, see :func:`rankloom.data.checks.parse_times`.
        decimal: The decimal mark of numbers that are text.
    """

    spec: FieldSpec
    column: str
    separator: str = SEPARATOR
    time_format: str | None = None
    decimal: Decimal = "."


def as_frame(frame: Any) -> pl.DataFrame:
    """Return a polars frame of a polars, pandas or Arrow table, or of a list of mappings.

    Raises:
        DataError: It is none of them.
    """
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if isinstance(frame, list) and frame and all(isinstance(row, Mapping) for row in frame):
        return pl.DataFrame(frame, infer_schema_length=None, strict=False)
    origin = type(frame).__module__.partition(".")[0]
    if origin == "pandas":
        return _from_pandas(frame)
    if origin == "pyarrow":
        converted = pl.from_arrow(frame)
        if isinstance(converted, pl.DataFrame):
            return converted
    raise DataError(
        f"Data frames may be polars, pandas or Arrow tables, or lists of mappings, not "
        f"{type(frame).__qualname__}."
    )


def _from_pandas(frame: Any) -> pl.DataFrame:
    """Convert column by column; a column of objects that are of several types becomes text."""
    columns: dict[str, pl.Series] = {}
    for place, name in enumerate(frame.columns):
        column = frame.iloc[:, place]
        try:
            columns |= pl.from_pandas(column.to_frame(str(name))).to_dict()
        except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
            if column.dtype != object:
                raise DataError(f"The column {str(name)!r} cannot be read: {error}") from error
            texts = [None if missing else str(value)
                     for value, missing in zip(column, column.isna(), strict=True)]  # fmt: skip
            columns[str(name)] = pl.Series(str(name), texts, dtype=pl.String)
    return pl.DataFrame(columns)


def table_of_ids(side: str, ids: pl.Series) -> Table:
    """Return a table without fields: the distinct ids by first appearance."""
    distinct = ids.drop_nulls().unique(maintain_order=True)
    return Table(side, IdMap(distinct), pl.DataFrame(height=len(distinct)), {})


def build_table(
    side: str,
    frame: pl.DataFrame,
    id_column: str,
    fields: Mapping[str, FieldSource],
    origin: Origin,
    checks: RowChecks,
) -> Table:
    """Turn a raw table into the catalog or the users.

    Args:
        side: ``"item"`` or ``"user"``.
        frame: Raw table with its ``ROW`` column.
        id_column: Column of the ids.
        fields: What to take from it, by short name.
        origin: Where the table came from.
        checks: Rows with a missing or repeated id raise or are dropped; values that do not fit
            their field raise or become missing.

    Raises:
        DataError: Naming file, row, column and value.
    """
    ids = parse_ids(frame[id_column])
    raw = frame.with_columns(ids.alias(id_column))
    raw = checks.drop(raw, raw[id_column].is_null(), id_column, "is missing", origin)
    repeated = ~raw[id_column].is_first_distinct()
    raw = checks.drop(raw, repeated, id_column, "stands there twice", origin)
    columns = {
        name: _typed(raw, source, origin, checks).alias(name) for name, source in fields.items()
    }
    specs = {name: source.spec for name, source in fields.items()}
    typed = pl.DataFrame(columns) if columns else pl.DataFrame(height=raw.height)
    return Table(side, IdMap(raw[id_column]), typed, specs)


def _typed(raw: pl.DataFrame, source: FieldSource, origin: Origin, checks: RowChecks) -> pl.Series:
    """Return a field's values in the type that its encoders read, null where missing."""
    column, kind = raw[source.column], source.spec.type
    if kind == "vector":
        values, bad, problem = _vectors(column, source)
    elif source.spec.multiple:
        return _lists(column, source.separator)
    elif kind in ("image", "audio"):
        return _files(column)
    elif kind == "number":
        values, bad = parse_numbers(column, source.decimal)
        problem = not_a_number(column, bad)
    elif kind == "timestamp":
        values, bad = parse_times(column, source.time_format)
        problem = "is not a time (numbers, ISO 8601, or set 'time_format')"
    else:
        return parse_ids(column)
    checks.bad(raw, bad, source.column, problem, origin, effect="values taken as missing")
    return values


def _files(column: pl.Series) -> pl.Series:
    """Return paths as text, or bytes; of structs (``bytes``, ``path``) the bytes, else the path."""
    if isinstance(column.dtype, pl.Struct):
        parts = {field.name: column.struct.field(field.name) for field in column.dtype.fields}
        data = parts.get("bytes")
        if data is not None and data.dtype == pl.Binary and data.is_not_null().any():
            column = data
        elif "path" in parts:
            column = parts["path"]
    if column.dtype == pl.Binary:
        return column.set(column.bin.size() == 0, None)
    return parse_ids(column)


def _lists(column: pl.Series, separator: str) -> pl.Series:
    """Return lists of texts; an empty list is a missing value."""
    if isinstance(column.dtype, pl.List | pl.Array):
        lists = column.cast(pl.List(pl.String))
    else:
        lists = split_cells(column.cast(pl.String), separator)
    stripped = lists.list.eval(pl.element().str.strip_chars().replace("", None).drop_nulls())
    return stripped.set(stripped.list.len() == 0, None)


def _vectors(column: pl.Series, source: FieldSource) -> tuple[pl.Series, pl.Series, str]:
    """Return lists of float32 of one length, a mask of those that are not, and the complaint."""
    if column.dtype == pl.String:
        column = split_cells(column, source.separator)
        column = column.list.eval(pl.element().str.strip_chars())
    present = column.is_not_null()
    lists = column.cast(pl.List(pl.Float32), strict=False)
    length = source.spec.length or first(lists.list.len().drop_nulls())
    holes = lists.list.eval(~pl.element().is_finite().fill_null(False)).list.any()
    bad = present & ((lists.list.len() != length) | holes).fill_null(True)
    return lists.set(bad, None), bad, f"is not a vector of {length} numbers"
