"""Checks of raw tables: every bad row is named, or counted where config says ``skip``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from rankloom.data.ids import normal_id
from rankloom.errors import DataError, did_you_mean

__all__ = [
    "ROW",
    "Decimal",
    "OnBadRows",
    "Origin",
    "RowChecks",
    "has_decimal_commas",
    "not_a_number",
    "parse_ids",
    "parse_numbers",
    "parse_times",
    "require_columns",
]

#: Column of every raw table that holds the row number in its source.
ROW = "__row__"

OnBadRows = Literal["error", "skip"]
Decimal = Literal[".", ","]

_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True)
class Origin:
    """Where a table came from.

    Attributes:
        name: Path, or what was handed in.
        first_row: Number of its first record; 2 where a header takes row 1 (as spreadsheets
            count; a record over several lines counts once).
    """

    name: str
    first_row: int = 1

    def at(self, row: int, column: str) -> str:
        """Return ``"FILE, row 7, column 'rating'"``."""
        return f"{self.name}, row {row}, column {column!r}"


class RowChecks:
    """Raises on the first bad row, or drops bad rows and counts them.

    Args:
        on_bad_rows: ``"error"`` or ``"skip"``.
    """

    def __init__(self, on_bad_rows: OnBadRows = "error") -> None:
        self.on_bad_rows = on_bad_rows
        self.report: dict[str, int] = {}

    def count(self, what: str, n: int) -> None:
        """Add ``n`` to the count of ``what`` (nothing where ``n`` is 0)."""
        if n:
            self.report[what] = self.report.get(what, 0) + n

    def bad(
        self,
        frame: pl.DataFrame,
        mask: pl.Series,
        column: str,
        problem: str,
        origin: Origin,
        *,
        label: str | None = None,
        effect: str = "rows dropped",
    ) -> int:
        """Raise if any row is bad; under ``skip`` count them instead.

        Args:
            frame: The raw table, with its ``ROW`` column.
            mask: Bool, True at bad rows.
            column: Column of ``frame`` that holds the bad values.
            problem: What is wrong with them, after the value: ``"is not a number"``.
            origin: Where the table came from.
            label: The column's name in the source, where it differs.
            effect: What ``skip`` does, for the report.

        Returns:
            How many rows are bad.

        Raises:
            DataError: Naming file, row, column and value of the first bad row.
        """
        n = int(mask.sum())
        if not n:
            return 0
        shown = label or column
        if self.on_bad_rows == "skip":
            self.count(f"{origin.name}: {effect}, {shown!r} {problem}", n)
            return n
        first = frame.filter(mask).row(0, named=True)
        more = f" {n - 1} more such row{'s' if n > 2 else ''}." if n > 1 else ""
        value = first[column]
        what = "the value" if value is None else repr(value)
        raise DataError(
            f"{origin.at(first[ROW], shown)}: {what} {problem}.{more} Correct the data, or set "
            f"'on_bad_rows: skip' on the source to leave such rows out and count them."
        )

    def drop(
        self,
        frame: pl.DataFrame,
        mask: pl.Series,
        column: str,
        problem: str,
        origin: Origin,
        *,
        label: str | None = None,
    ) -> pl.DataFrame:
        """Return the table without its bad rows; arguments and errors as for :meth:`bad`."""
        if self.bad(frame, mask, column, problem, origin, label=label):
            return frame.filter(~mask)
        return frame


def require_columns(names: Sequence[str], wanted: Iterable[str], origin: Origin) -> None:
    """Check that columns are there.

    Raises:
        DataError: One is not; the message lists those that are.
    """
    for name in wanted:
        if name not in names:
            known = [column for column in names if column != ROW]
            raise DataError(
                f"{origin.name} has no column {name!r}.{did_you_mean(name, known)} "
                f"Columns: {', '.join(known)}."
            )


def parse_ids(column: pl.Series) -> pl.Series:
    """Return ids as text, null where missing or empty; ``7``, ``7.0`` and ``"7"`` are the same."""
    if column.dtype.is_float():
        column = column.fill_nan(None)
        if bool((column == column.round()).all()):
            column = column.cast(pl.Int64)
        else:
            values = [None if v is None else normal_id(v) for v in column]
            column = pl.Series(column.name, values, dtype=pl.String)
    text = column.cast(pl.String)
    return text.set(text == "", None)


def parse_numbers(column: pl.Series, decimal: Decimal = ".") -> tuple[pl.Series, pl.Series]:
    """Return values as float64 (null where missing) and a mask of what is no finite number.

    Args:
        column: Numbers, or numbers as text; a text may be an amount of money (``$1,299.00``).
        decimal: The decimal mark of texts.
    """
    if column.dtype == pl.String:
        column = _plain_numbers(column.str.strip_chars(), decimal)
    elif not (column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null)):
        none = pl.Series(column.name, [None] * len(column), dtype=pl.Float64)
        return none, column.is_not_null()
    numbers = column.cast(pl.Float64, strict=False).fill_nan(None)
    as_text = column.cast(pl.String, strict=False).str.to_lowercase()
    bad = (numbers.is_null() & column.is_not_null() & (as_text != "nan")).fill_null(False)
    bad = bad | numbers.is_infinite().fill_null(False)
    return numbers.set(bad, None), bad


_MONEY = r"^([+-]?)[$€£¥]\s*(\d.*)$|^([+-]?\d.*?)\s*[$€£¥]$"


def _plain_numbers(column: pl.Series, decimal: Decimal) -> pl.Series:
    """Return texts of numbers as a computer writes them; null where empty."""
    column = column.set(column == "", None)
    money = column.str.contains(r"[$€£¥]").fill_null(False)
    if money.any():
        thousands = "." if decimal == "," else ","
        amounts = column.str.replace(_MONEY, "${1}${2}${3}")
        grouped = amounts.str.contains(rf"^[+-]?\d{{1,3}}(\{thousands}\d{{3}})+(\D\d+)?$")
        whole = amounts.str.replace_all(thousands, "", literal=True)
        column = whole.zip_with(money & grouped.fill_null(False), amounts)
    return column.str.replace(",", ".", literal=True) if decimal == "," else column


def not_a_number(column: pl.Series, bad: pl.Series) -> str:
    """Return what is wrong with the ``bad`` values of a column of numbers, for a message."""
    if column.dtype == pl.String and has_decimal_commas(column.filter(bad).head(1)):
        return "is not a number (for a decimal comma set 'decimal: \",\"' on the source)"
    return "is not a number"


def has_decimal_commas(column: pl.Series) -> bool:
    """Return True if all values are numbers and some are written with a decimal comma."""
    present = column.drop_nulls().cast(pl.String).str.strip_chars()
    commas = present.str.contains(r"^[+-]?\d*,\d+$")
    return bool(commas.any()) and not bool(parse_numbers(present, ",")[1].any())


def parse_times(column: pl.Series, time_format: str | None = None) -> tuple[pl.Series, pl.Series]:
    """Return times as whole seconds since 1970 (null where missing) and a mask of bad ones.

    Args:
        column: Numbers, dates or text.
        time_format: ``s``, ``ms``, ``us``, ``ns``, a strftime pattern, or None: numbers beyond
            the year 5000 are read as milli-, micro- or nanoseconds, text as ISO 8601.
    """
    none = pl.repeat(False, len(column), dtype=pl.Boolean, eager=True)
    if column.dtype.is_temporal() and column.dtype not in (pl.Time, pl.Duration):
        return column.cast(pl.Datetime("us")).dt.epoch("s"), none
    unit = time_format in _UNITS or time_format is None
    if column.dtype == pl.String:
        column = column.str.strip_chars()
        column = column.set(column == "", None)
        if not unit or not _numeric_text(column):
            return _parse_dates(column, None if unit else time_format)
    numbers, bad = parse_numbers(column)
    # whole numbers keep all their digits: nanoseconds do not fit a float
    exact = column.cast(pl.Int64, strict=False) if not column.dtype.is_float() else None
    per_second = _UNITS[time_format] if time_format in _UNITS else _guess_unit(numbers)
    seconds = (numbers / per_second).floor().cast(pl.Int64, strict=False)
    if exact is not None:
        seconds = (exact // per_second).zip_with(exact.is_not_null(), seconds)
    return seconds.set(bad, None), bad


def _numeric_text(column: pl.Series) -> bool:
    present = column.drop_nulls().head(1000)
    return len(present) == 0 or int(parse_numbers(present)[1].sum()) * 2 <= len(present)


def _parse_dates(column: pl.Series, time_format: str | None) -> tuple[pl.Series, pl.Series]:
    try:
        stamps = column.str.to_datetime(time_format, strict=False).cast(pl.Datetime("us"))
        seconds = stamps.dt.epoch("s")
    except pl.exceptions.PolarsError:
        seconds = pl.Series(column.name, [None] * len(column), dtype=pl.Int64)
    return seconds, seconds.is_null() & column.is_not_null()


def _guess_unit(numbers: pl.Series) -> int:
    largest = numbers.drop_nulls().abs().median()
    size = float(largest) if isinstance(largest, int | float) else 0.0
    return 10 ** (9 if size > 1e17 else 6 if size > 1e14 else 3 if size > 1e11 else 0)
