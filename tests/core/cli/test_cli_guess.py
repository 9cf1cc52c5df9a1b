"""Guesses about columns from names, order and values."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from rankloom.cli.guess import guess_columns, guess_id, guess_positive, read_sample
from rankloom.errors import DataError


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["userId", "movieId", "rating", "when"], ("userId", "movieId", "rating", "when")),
        (["asin", "reviewerID", "overall", "unixReviewTime"],
         ("reviewerID", "asin", "overall", "unixReviewTime")),
        (["customer_id", "sku", "date"], ("customer_id", "sku", None, "date")),
        (["who", "what"], ("who", "what", None, None)),
        (["who", "rating", "what"], ("who", "what", "rating", None)),
    ],
)  # fmt: skip
def test_columns(names: list[str], expected: tuple[str | None, ...]) -> None:
    found = guess_columns(pl.DataFrame({name: ["a", "b"] for name in names}), "x.csv")
    assert (found.user, found.item, found.value, found.time) == expected
    assert bool(found.guessed) is ("what" in names)


def test_values_tell_where_names_do_not() -> None:
    frame = pl.DataFrame(
        {
            "gekauft": ["2024-01-02", "2024-03-04"],
            "kunde": ["7", "8"],
            "note": ["4,5", "3"],
            "ware": ["901", "902"],
        }
    )
    found = guess_columns(frame, "x.csv", item_columns=["ware", "titel"], decimal=",")
    assert (found.user, found.item, found.value, found.time) == ("kunde", "ware", "note", "gekauft")
    assert found.guessed == ("user", "value", "time")
    counted = pl.DataFrame({"a": ["1", "2"], "b": ["5", "6"], "c": ["1700000000", "1700000009"]})
    assert guess_columns(counted, "x.csv").time == "c"


def test_one_column_asks_about_the_separator() -> None:
    with pytest.raises(DataError, match="separator"):
        guess_columns(pl.DataFrame({"user~item": ["a~b"]}), "x.csv")


def test_no_column_left_for_the_item() -> None:
    with pytest.raises(DataError, match="which column is the item"):
        guess_columns(pl.DataFrame({"user": ["a"], "rating": [4]}), "x.csv")


def test_id_column() -> None:
    assert guess_id(["movieId", "title"], "movieId", "item") == "movieId"
    assert guess_id(["title", "id"], "movieId", "item") == "id"
    assert guess_id(["name", "age"], "userId", "user") == "name"


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.5, 3.0, 5.0], 4.0), ([1.0, 7.0, 10.0], 8.0), ([1.0, 1.0], None), ([1.0, 2000.0], None)],
)
def test_positive_is_four_fifths_of_a_short_scale(
    values: list[float], expected: float | None
) -> None:
    assert guess_positive(pl.DataFrame({"v": values}), "v") == expected
    assert guess_positive(pl.DataFrame({"v": values}), None) is None


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "x.xlsx").write_text("x")
    for name, reason in [
        ("empty.csv", "is empty"),
        ("x.xlsx", "ending"),
        ("nowhere.csv", "does not exist"),
    ]:
        with pytest.raises(DataError, match=reason) as caught:
            read_sample(tmp_path / name)
        assert name in str(caught.value)


def test_reads_tabs_and_parquet(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user": ["1", "2"], "item": ["3", "4"]})
    frame.write_csv(tmp_path / "x.tsv", separator="\t")
    frame.write_parquet(tmp_path / "x.parquet")
    assert read_sample(tmp_path / "x.tsv").frame.equals(frame)
    assert read_sample(tmp_path / "x.parquet").frame.equals(frame)


def test_encodings_are_found(tmp_path: Path) -> None:
    for encoding in ("utf-8", "cp1252", "utf-16"):
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes("user,item\nJosé €,1\n".encode(encoding))
        found = read_sample(path)
        assert found.encoding == encoding
        assert found.frame["user"].to_list() == ["José €"]
