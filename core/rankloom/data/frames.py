"""From raw tables to typed fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from rankloom.data.checks import (
    ROW,
    Decimal,
    Origin,
    RowChecks,
    not_a_number,
    parse_ids,
    parse_numbers,
    parse_times,
)
from rankloom.data.fields import FieldSpec, FieldType
from rankloom.data.ids import IdMap
from rankloom.data.tables import SEPARATOR, Table
from rankloom.errors import DataError

__all__ = ["FieldSource", "as_frame", "build_table", "infer_fields", "table_of_ids"]

_ENDINGS: dict[FieldType, tuple[str, ...]] = {
    "image": (".jpg", ".jpeg", ".png", ".webp", ".gif"),
    "audio": (".wav", ".mp3", ".flac", ".ogg"),
}
_LONG = 60  # mean characters from which repeated texts are texts all the same


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
    """Return a polars frame of a polars, pandas or Arrow table.

    Raises:
        DataError: It is none of them.
    """
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    origin = type(frame).__module__.partition(".")[0]
    if origin == "pandas":
        from_pandas: pl.DataFrame = pl.from_pandas(frame)
        return from_pandas
    if origin == "pyarrow":
        converted = pl.from_arrow(frame)
        if isinstance(converted, pl.DataFrame):
            return converted
    raise DataError(
        f"Data frames may be polars, pandas or Arrow tables, not {type(frame).__qualname__}."
    )


def infer_fields(
    frame: pl.DataFrame, side: str = "item", decimal: Decimal = "."
) -> dict[str, FieldSpec]:
    """Guess a field for every column.

    Numbers (also as text, but not codes with leading zeros) become ``number``, dates
    ``timestamp``, texts with ``|`` multiple categories, texts that occur twice on average
    categories, other texts ``text``, paths of pictures and sounds ``image`` and ``audio``, lists of
    numbers ``vector``.

    Args:
        frame: A raw table without its id column.
        side: ``"item"`` or ``"user"``.
        decimal: The decimal mark of numbers that are text.

    Returns:
        ``{column: spec}`` in the frame's order.
    """
    names = [name for name in frame.columns if name != ROW]
    return {name: _infer(frame[name], f"{side}.{name}", decimal) for name in names}


def _infer(column: pl.Series, name: str, decimal: Decimal) -> FieldSpec:
    dtype = column.dtype
    present = column.drop_nulls()
    if isinstance(dtype, pl.List | pl.Array):
        if dtype.inner.is_numeric() if isinstance(dtype, pl.List | pl.Array) else False:
            widths = present.list.len() if isinstance(dtype, pl.List) else None
            length = dtype.size if isinstance(dtype, pl.Array) else int(_first(widths))
            return FieldSpec(name, "vector", length=length)
        return FieldSpec(name, "category", multiple=True)
    if dtype.is_temporal() and dtype not in (pl.Time, pl.Duration):
        return FieldSpec(name, "timestamp")
    if dtype.is_numeric():
        return FieldSpec(name, "number")
    if dtype != pl.String:
        return FieldSpec(name, "category")
    return FieldSpec(name, *_infer_text(present.set(present == "", None).drop_nulls(), decimal))


def _infer_text(present: pl.Series, decimal: Decimal) -> tuple[FieldType, bool]:
    """Return type and ``multiple`` of a column of non-empty texts."""
    if not len(present):
        return "category", False
    lower = present.str.to_lowercase()
    for kind, endings in _ENDINGS.items():
        if any(bool(lower.str.ends_with(ending).all()) for ending in endings):
            return kind, False
    numbers, bad = parse_numbers(present, decimal)
    if not bad.any() and not numbers.is_null().any():
        coded = present.str.contains(r"^\s*0\d").any()
        return ("category" if coded else "number"), False
    times, bad = parse_times(present)
    if not bad.any() and not times.is_null().any():
        return "timestamp", False
    if int(present.str.contains(SEPARATOR, literal=True).sum()) * 10 >= len(present):
        return "category", True
    mean = present.str.len_chars().mean()
    long = isinstance(mean, int | float) and mean > _LONG
    return ("text" if long or present.n_unique() * 2 > len(present) else "category"), False


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


def _lists(column: pl.Series, separator: str) -> pl.Series:
    """Return lists of texts; an empty list is a missing value."""
    if isinstance(column.dtype, pl.List | pl.Array):
        lists = column.cast(pl.List(pl.String))
    else:
        lists = column.cast(pl.String).str.split(separator)
    stripped = lists.list.eval(pl.element().str.strip_chars().replace("", None).drop_nulls())
    return stripped.set(stripped.list.len() == 0, None)


def _vectors(column: pl.Series, source: FieldSource) -> tuple[pl.Series, pl.Series, str]:
    """Return lists of float32 of one length, a mask of those that are not, and the complaint."""
    if column.dtype == pl.String:
        column = column.str.strip_chars("[] ").str.split(source.separator)
        column = column.list.eval(pl.element().str.strip_chars())
    present = column.is_not_null()
    lists = column.cast(pl.List(pl.Float32), strict=False)
    length = source.spec.length or int(_first(lists.list.len().drop_nulls()))
    holes = lists.list.eval(~pl.element().is_finite().fill_null(False)).list.any()
    bad = present & ((lists.list.len() != length) | holes).fill_null(True)
    return lists.set(bad, None), bad, f"is not a vector of {length} numbers"


def _first(column: pl.Series | None) -> int:
    return 0 if column is None or not len(column) else int(column[0])
