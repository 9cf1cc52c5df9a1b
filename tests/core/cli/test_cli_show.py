"""What is printed: JSON that any parser reads, tables with every row."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from rankloom.cli.show import cell, emit_json, plain, print_table

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
NESTED = st.recursive(LEAVES, lambda c: st.lists(c) | st.dictionaries(st.text(), c), max_leaves=20)


@given(NESTED)
def test_plain_is_strict_json(value: Any) -> None:
    json.loads(json.dumps(plain(value), allow_nan=False))


def test_plain_reads_arrays_tuples_and_paths() -> None:
    found = plain({"a": np.arange(3), "b": (1.0, math.nan), 3: np.float32(0.5)})
    assert found == {"a": [0, 1, 2], "b": [1.0, None], "3": 0.5}


def test_emit_json_keeps_letters(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json({"title": "Amélie"})
    assert "Amélie" in capsys.readouterr().out


def test_cells() -> None:
    assert [cell(v) for v in (None, True, 0.25, math.nan, ["a", "b"], 7)] == [
        "", "yes", "0.2500", "", "a, b", "7",
    ]  # fmt: skip


def test_tables_show_brackets_as_they_are() -> None:
    out = io.StringIO()
    print_table("t", ["title"], [["[red] Dawn"]], target=Console(file=out, width=60))
    assert "[red] Dawn" in out.getvalue()
