"""Fields are inferred and typed; tables keep the order of their rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pandas as pd
import polars as pl
import pytest

from rankloom.data.checks import Origin, RowChecks
from rankloom.data.fields import FieldSpec
from rankloom.data.frames import FieldSource, as_frame, build_table, table_of_ids
from rankloom.data.inference import infer_fields
from rankloom.data.loading import with_rows
from rankloom.errors import DataError

ORIGIN = Origin("items.csv", 2)


def source(kind: str, column: str = "x", **more: object) -> FieldSource:
    multiple = bool(more.pop("multiple", False))
    length = more.pop("length", 0)
    spec = FieldSpec(f"item.{column}", kind, multiple, length)  # type: ignore[arg-type]
    return FieldSource(spec, column, **more)  # type: ignore[arg-type]


def table(
    values: list[object], field: FieldSource, checks: RowChecks | None = None
) -> list[object]:
    raw = pl.DataFrame({"id": [f"i{n}" for n in range(len(values))], "x": values}, strict=False)
    made = build_table("item", with_rows(raw, ORIGIN), "id", {"x": field}, ORIGIN,
                       checks or RowChecks())  # fmt: skip
    assert list(made.ids.ids) == raw["id"].to_list()
    return made.values("item.x")


def test_every_kind_of_column_is_inferred() -> None:
    n = 12
    frame = pl.DataFrame(
        {
            "price": [1.5] * n,
            "pages": [str(i) for i in range(n)],
            "zip": ["01234"] * n,
            "brand": ["a", "b"] * (n // 2),
            "title": [f"Film {i}" for i in range(n)],
            "blurb": ["long " * 20] * n,
            "genres": ["a|b", "c"] * (n // 2),
            "day": [date(2020, 1, 1)] * n,
            "when": ["2020-01-01 10:00:00"] * n,
            "tags": [["a"]] * n,
            "vec": [[0.5, 1.0]] * n,
            "cover": [f"{i}.JPG" for i in range(n)],
            "clip": [f"{i}.wav" for i in range(n)],
            "flag": [True] * n,
            "nothing": [None] * n,
        }
    )
    found = infer_fields(frame)
    kinds = {name: (f.spec.type, f.spec.multiple) for name, f in found.items()}
    assert kinds == {
        "price": ("number", False),
        "pages": ("number", False),
        "zip": ("category", False),
        "brand": ("category", False),
        "title": ("text", False),
        "blurb": ("text", False),
        "genres": ("category", True),
        "day": ("timestamp", False),
        "when": ("timestamp", False),
        "tags": ("category", True),
        "vec": ("vector", False),
        "cover": ("image", False),
        "clip": ("audio", False),
        "flag": ("category", False),
        "nothing": ("category", False),
    }
    assert found["vec"].spec.length == 2
    assert found["price"].spec.name == "item.price"


def test_lists_and_numbers_in_disguise_are_inferred() -> None:
    n = 12
    frame = pl.DataFrame(
        {
            "python": ["['Drama', \"Rock 'n' Roll\"]", "[]"] * (n // 2),
            "json": ['["Drama","Sci-Fi"]', '["Drama"]'] * (n // 2),
            "commas": ["Drama, Sci-Fi", "Drama"] * (n // 2),
            "numbers": ["[0.5, 1]"] * n,
            "money": ["$1,299.00", "$5"] * (n // 2),
            "mostly": ["$3.50"] * (n - 1) + ["$1 - $2"],
            "blurb": [f"['A long story, the {i}th of a kind, that nobody has told so far.']"
                      for i in range(n)],
            "title": [f"First, second and {i}" for i in range(n)],
        }
    )  # fmt: skip
    found = infer_fields(frame)
    assert {name: (f.spec.type, f.spec.multiple) for name, f in found.items()} == {
        "python": ("category", True),
        "json": ("category", True),
        "commas": ("category", True),
        "numbers": ("vector", False),
        "money": ("number", False),
        "mostly": ("category", False),
        "blurb": ("text", False),
        "title": ("text", False),
    }

    def values(name: str) -> list[object]:
        return table(frame[name].to_list()[:2], replace(found[name], column="x"))

    assert values("python") == [["Drama", "Rock 'n' Roll"], None]
    assert values("json") == [["Drama", "Sci-Fi"], ["Drama"]]
    assert values("commas") == [["Drama", "Sci-Fi"], ["Drama"]]
    assert values("numbers") == [[0.5, 1.0]] * 2
    assert values("money") == [1299.0, 5.0]


def test_fields_are_typed() -> None:
    assert table(["1", "2.5", ""], source("number")) == [1.0, 2.5, None]
    assert table([7, 8, None], source("category")) == ["7", "8", None]
    assert table(["a | b", "", "|"], source("category", multiple=True)) == [["a", "b"], None, None]
    assert table(["1970-01-02", None], source("timestamp")) == [86400, None]
    assert table(["a;b"], source("category", multiple=True, separator=";")) == [["a", "b"]]
    vectors = table(["1 2", None, "3 4"], source("vector", separator=" "))
    assert vectors == [[1.0, 2.0], None, [3.0, 4.0]]


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        (["1", "x"], source("number"), "row 3, column 'x': 'x' is not a number"),
        (["soon"], source("timestamp"), "'soon' is not a time"),
        (["1|2", "3"], source("vector"), "is not a vector of 2 numbers"),
        (["1|2", "3|y"], source("vector"), "is not a vector of 2 numbers"),
    ],
)
def test_values_that_do_not_fit(values: list[object], field: FieldSource, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table(values, field)
    checks = RowChecks("skip")
    assert table(values, field, checks)[-1] is None
    assert sum(checks.report.values()) == 1


@pytest.mark.parametrize(("ids", "message"), [(["a", None], "is missing"), (["a", "a"], "twice")])
def test_bad_ids_of_a_table(ids: list[str | None], message: str) -> None:
    raw = with_rows(pl.DataFrame({"id": ids}), ORIGIN)
    with pytest.raises(DataError, match=rf"items.csv, row 3, column 'id': .*{message}"):
        build_table("item", raw, "id", {}, ORIGIN, RowChecks())
    assert len(build_table("item", raw, "id", {}, ORIGIN, RowChecks("skip"))) == 1


def test_frames_of_other_libraries() -> None:
    expected = pl.DataFrame({"u": [1, 2]})
    assert as_frame(pd.DataFrame({"u": [1, 2]})).equals(expected)
    assert as_frame(expected.lazy()).equals(expected)
    assert as_frame(expected.to_arrow()).equals(expected)
    with pytest.raises(DataError, match="not list"):
        as_frame([1])


def test_a_table_of_ids_keeps_first_appearance_and_can_grow() -> None:
    made = table_of_ids("item", pl.Series(["b", "a", "b"]))
    assert list(made.ids.ids) == ["b", "a"]
    grown = made.extended(["c"], pl.DataFrame(height=1))
    assert list(grown.ids.ids) == ["b", "a", "c"]
