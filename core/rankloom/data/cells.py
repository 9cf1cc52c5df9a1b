"""Cells that hold several values."""

from __future__ import annotations

import polars as pl

__all__ = ["BRACKETED", "first", "split_cells"]

#: A list as Python or JSON writes it.
BRACKETED = r"^\s*\[[\s\S]*\]\s*$"

_QUOTED = r"'[^']*'|\"[^\"]*\""


def split_cells(column: pl.Series, separator: str) -> pl.Series:
    """Return each text's values, null where the text is.

    ``['a', 'b']`` and ``["a", "b"]`` hold what is between the quotes, ``[1, 2]`` what is between
    the commas (or the separators, if there are any); all others are cut at the separator.
    """
    cut = column.str.split(separator)
    bracketed = column.str.contains(BRACKETED).fill_null(False)
    if not bracketed.any():
        return cut
    inner = column.str.strip_chars("[] \n")
    own = inner.str.contains(separator, literal=True).fill_null(False)
    plain = inner.str.split(separator).zip_with(own, inner.str.split(","))
    quoted = column.str.extract_all(_QUOTED)
    quoted = quoted.list.eval(pl.element().str.slice(1, pl.element().str.len_chars() - 2))
    found = quoted.zip_with(quoted.list.len().fill_null(0) > 0, plain)
    return found.zip_with(bracketed, cut)


def first(column: pl.Series | None) -> int:
    """Return the first number of a column, 0 where there is none."""
    return 0 if column is None or not len(column) else int(column[0])
