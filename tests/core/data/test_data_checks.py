"""Ids, numbers and times out of raw columns; bad rows named or counted."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from rankloom.data.checks import (
    Origin,
    RowChecks,
    has_decimal_commas,
    not_a_number,
    parse_ids,
    parse_numbers,
    parse_times,
    require_columns,
)
from rankloom.data.loading import with_rows
from rankloom.errors import DataError

MOMENT = int(datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pl.Series([7, None]), ["7", None]),
        (pl.Series([7.0, float("nan")]), ["7", None]),
        (pl.Series([7.0, 0.5]), ["7", "0.5"]),
        (pl.Series(["7", "", "a b"]), ["7", None, "a b"]),
    ],
)
def test_ids_are_compared_by_their_decimal_text(column: pl.Series, expected: list[str]) -> None:
    assert parse_ids(column).to_list() == expected


def test_numbers_that_are_none_are_marked_and_missing_ones_are_not() -> None:
    numbers, bad = parse_numbers(pl.Series(["4.5", " 3", "five", "", None, "nan", "inf"]))
    assert numbers.to_list() == [4.5, 3.0, None, None, None, None, None]
    assert bad.to_list() == [False, False, True, False, False, False, True]


@pytest.mark.parametrize(
    ("values", "time_format"),
    [
        ([MOMENT], None),
        ([str(MOMENT)], None),
        ([MOMENT * 1000 + 999], None),
        ([str(MOMENT * 10**9 + 1)], None),
        ([MOMENT * 1000], "ms"),
        (["2020-01-02T03:04:05"], None),
        (["2020-01-02T03:04:05Z"], None),
        (["02/01/2020 03:04:05"], "%d/%m/%Y %H:%M:%S"),
        ([datetime(2020, 1, 2, 3, 4, 5)], None),
        ([float(MOMENT) + 0.5], None),
    ],
)
def test_times_become_seconds(values: list[object], time_format: str | None) -> None:
    times, bad = parse_times(pl.Series(values), time_format)
    assert times.to_list() == [MOMENT]
    assert bad.to_list() == [False]


def test_times_that_are_none_are_marked() -> None:
    times, bad = parse_times(pl.Series(["2020-01-01", "soon", None]))
    assert times.is_null().to_list() == [False, True, True]
    assert bad.to_list() == [False, True, False]
    assert parse_times(pl.Series(["12", "soon", "14"]))[1].to_list() == [False, True, False]


def test_a_bad_row_is_named_with_file_row_column_and_value() -> None:
    origin = Origin("ratings.csv", 2)
    frame = with_rows(pl.DataFrame({"rating": ["4", "five", "six"]}), origin)
    mask = parse_numbers(frame["rating"])[1]
    with pytest.raises(
        DataError, match=r"ratings.csv, row 3, column 'rating': 'five' is not a"
    ) as e:
        RowChecks().drop(frame, mask, "rating", "is not a number", origin)
    assert "1 more such row" in str(e.value)
    assert "on_bad_rows: skip" in str(e.value)


def test_decimal_commas() -> None:
    column = pl.Series(["4,5", "3", None])
    assert has_decimal_commas(column)
    assert parse_numbers(column, ",")[0].to_list() == [4.5, 3.0, None]
    assert "decimal" in not_a_number(column, parse_numbers(column)[1])
    for other in (["4.5", "3"], ["1,2,3", "4,5"], ["a,5"]):
        assert not has_decimal_commas(pl.Series(other))


def test_skip_drops_and_counts() -> None:
    origin, checks = Origin("ratings.csv", 2), RowChecks("skip")
    frame = with_rows(pl.DataFrame({"rating": ["4", "five", "six"]}), origin)
    mask = parse_numbers(frame["rating"])[1]
    kept = checks.drop(frame, mask, "rating", "is not a number", origin)
    assert kept["rating"].to_list() == ["4"]
    assert checks.report == {"ratings.csv: rows dropped, 'rating' is not a number": 2}


def test_a_missing_column_lists_those_there_are() -> None:
    with pytest.raises(DataError, match=r"no column 'ratng'. Did you mean 'rating'\? Columns: u"):
        require_columns(["u", "rating"], ["ratng"], Origin("x.csv"))
