"""Guesses about tables that somebody brings: which column is what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from rankloom.data.checks import ROW, Decimal, RowChecks, parse_numbers, parse_times
from rankloom.data.column_names import usual_column
from rankloom.data.files import guess_encoding, kind_of
from rankloom.data.loading import read_table
from rankloom.errors import DataError

__all__ = ["Columns", "Sample", "guess_columns", "guess_id", "guess_positive", "read_sample"]

#: Rows read to guess from.
SAMPLE = 10_000


@dataclass(frozen=True)
class Columns:
    """Which column of an interactions table is what.

    Attributes:
        user: Column of the user's id.
        item: Column of the item's id.
        value: Column of the value, or None.
        time: Column of the time, or None.
        guessed: Roles that no usual name told, only order and values.
    """

    user: str
    item: str
    value: str | None
    time: str | None
    guessed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """The first rows of a table.

    Attributes:
        frame: Text files come as text.
        encoding: Of a text file.
    """

    frame: pl.DataFrame
    encoding: str = "utf-8"


def read_sample(path: Path) -> Sample:
    """Return the first rows of a table.

    Raises:
        DataError: The file is missing, empty or in an unknown format.
    """
    text = path.is_file() and kind_of(path).kind == "text"
    encoding = guess_encoding(path) if text else "utf-8"
    frame, _ = read_table(path, RowChecks("skip"), encoding=encoding, n_rows=SAMPLE)
    return Sample(frame.drop(ROW), encoding)


def guess_columns(
    frame: pl.DataFrame,
    where: str,
    item_columns: Sequence[str] = (),
    user_columns: Sequence[str] = (),
    decimal: Decimal = ".",
) -> Columns:
    """Guess the columns of an interactions table: from usual names, other tables, order, values.

    Args:
        frame: Its first rows.
        where: Its name, for messages.
        item_columns: Columns of the table of items, whose id the log shares.
        user_columns: Columns of the table of users.
        decimal: The decimal mark of numbers that are text.

    Raises:
        DataError: There are fewer than two columns, or none is left for the user or the item.
    """
    names = frame.columns
    if len(names) < 2:
        raise DataError(
            f"{where} has the columns {', '.join(names)}; interactions need at least a user and an "
            f"item. Is the separator right?"
        )
    found = {role: usual_column(names, role) for role in ("user", "item", "value", "time")}
    told = {role for role, name in found.items() if name}

    def left() -> list[str]:
        return [name for name in names if name not in found.values()]

    for role, others in (("user", user_columns), ("item", item_columns)):
        if found[role] is None:
            found[role] = next((name for name in left() if name in others), None)
            told |= {role} if found[role] else set()
    if found["time"] is None:  # a date can be nothing else; a number can be an id
        found["time"] = next((name for name in left() if _is_date(frame[name])), None)
    # a generic name such as "id" says nothing: then order decides, user before item
    for role in ("user", "item"):
        if found[role] is None:
            if not left():
                raise DataError(
                    f"{where}: cannot tell which column is the {role} among {', '.join(names)}. "
                    f"Rename the columns to user, item, value, time."
                )
            found[role] = left()[0]
    if found["time"] is None:
        found["time"] = next((name for name in left() if _is_epoch(frame[name])), None)
    if found["value"] is None:
        found["value"] = next((n for n in left() if _is_number(frame[n], decimal)), None)
    user, item = found["user"], found["item"]
    assert user is not None
    assert item is not None
    guessed = tuple(role for role, name in found.items() if name and role not in told)
    return Columns(user, item, found["value"], found["time"], guessed)


def _is_date(column: pl.Series) -> bool:
    present = column.drop_nulls()
    if not len(present) or column.dtype.is_numeric():
        return False
    if not column.dtype.is_temporal() and not parse_numbers(present)[1].all():
        return False
    times, bad = parse_times(present)
    return not bool(bad.any()) and not bool(times.is_null().any())


def _is_epoch(column: pl.Series) -> bool:
    """Whole numbers that are moments between 1990 and 2100, not the same one throughout."""
    present = column.drop_nulls()
    if not len(present) or present.n_unique() < 2 or parse_numbers(present)[1].any():
        return False
    times, _ = parse_times(present)
    return bool(times.is_between(631_152_000, 4_102_444_800).all())


def _is_number(column: pl.Series, decimal: Decimal) -> bool:
    numbers, bad = parse_numbers(column.drop_nulls(), decimal)
    return bool(len(numbers)) and not bool(bad.any())


def guess_id(names: Sequence[str], other: str, role: str) -> str:
    """Guess which column of an items or users table is the id.

    Args:
        names: Its columns.
        other: The column that holds the id in the interactions.
        role: ``"item"`` or ``"user"``.
    """
    if other in names:
        return other
    return usual_column(names, role, "id") or names[0]


def guess_positive(frame: pl.DataFrame, value: str | None, decimal: Decimal = ".") -> float | None:
    """Guess from which value on an interaction is a positive; None: every one is.

    Ratings on a short scale are positive from four fifths of its end (4 of 5, 8 of 10).
    """
    if value is None:
        return None
    numbers, bad = parse_numbers(frame[value], decimal)
    if 2 * int(bad.sum()) > len(bad):
        return None
    highest, distinct = numbers.max(), numbers.n_unique()
    if not isinstance(highest, int | float) or not 3 <= highest <= 10 or distinct > 21:
        return None
    return 0.8 * highest
