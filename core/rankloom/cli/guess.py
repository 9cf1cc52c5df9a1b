"""Guesses about tables that somebody brings: which column is what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rankloom.errors import DataError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Columns", "guess_columns", "guess_id", "guess_positive", "read_sample"]

#: Names that columns usually have, in lower case without separators.
_USUAL = {
    "user": ("user", "userid", "uid", "customer", "customerid", "visitor", "visitorid", "member",
             "reviewerid", "account", "accountid", "session", "sessionid", "uidx"),
    "item": ("item", "itemid", "iid", "movie", "movieid", "product", "productid", "asin", "sku",
             "article", "articleid", "book", "bookid", "isbn", "news", "newsid", "song", "songid",
             "track", "trackid", "parentasin"),
    "value": ("rating", "value", "score", "stars", "overall", "count", "plays", "playtime",
              "quantity", "weight"),
    "time": ("timestamp", "time", "ts", "date", "datetime", "unixreviewtime", "createdat", "when"),
}  # fmt: skip

#: Rows read to guess from.
SAMPLE = 10_000


@dataclass(frozen=True)
class Columns:
    """Which column of an interactions table is what; ``sure`` is False where only position told."""

    user: str
    item: str
    value: str | None
    time: str | None
    sure: bool = True


def read_sample(path: Path) -> pl.DataFrame:
    """Return the first rows of a CSV, TSV or Parquet file.

    Raises:
        DataError: The file is missing, empty, in an unknown format or not UTF-8.
    """
    import polars as pl

    if not path.is_file():
        raise DataError(f"{path} does not exist.")
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            return pl.scan_parquet(path).head(SAMPLE).collect()
        if suffix in {".csv", ".tsv", ".txt"}:
            separator = "\t" if suffix == ".tsv" else ","
            return pl.read_csv(path, separator=separator, n_rows=SAMPLE, infer_schema_length=SAMPLE)
    except pl.exceptions.NoDataError as error:
        raise DataError(f"{path} is empty.") from error
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as {suffix[1:]} in UTF-8: {error}") from error
    raise DataError(f"{path}: the ending {suffix!r} is unknown. Use .csv, .tsv or .parquet.")


def guess_columns(names: Sequence[str], where: str) -> Columns:
    """Guess the columns of an interactions table from their names, else from their order.

    Raises:
        DataError: There are fewer than two columns.
    """
    if len(names) < 2:
        raise DataError(
            f"{where} has the columns {', '.join(names)}; interactions need at least a user and an "
            f"item. Is the separator right?"
        )
    found = {role: _usual(names, usual) for role, usual in _USUAL.items()}
    taken = {name for name in found.values() if name}
    left = [name for name in names if name not in taken]
    # a generic name such as "id" says nothing: then order decides, user before item
    sure = bool(found["user"] and found["item"])
    for role in ("user", "item"):
        if found[role] is None:
            if not left:
                raise DataError(
                    f"{where}: cannot tell which column is the {role} among {', '.join(names)}. "
                    f"Rename the columns to user, item, value, time."
                )
            found[role] = left.pop(0)
    user, item = found["user"], found["item"]
    assert user is not None
    assert item is not None
    return Columns(user, item, found["value"], found["time"], sure)


def guess_id(names: Sequence[str], other: str, role: str) -> str:
    """Guess which column of an items or users table is the id.

    Args:
        names: Its columns.
        other: The column that holds the id in the interactions.
        role: ``"item"`` or ``"user"``.
    """
    if other in names:
        return other
    return _usual(names, (*_USUAL[role], "id")) or names[0]


def guess_positive(frame: pl.DataFrame, value: str | None) -> float | None:
    """Guess from which value on an interaction is a positive; None: every one is.

    Ratings on a short scale are positive from four fifths of its end (4 of 5, 8 of 10).
    """
    if value is None or not frame[value].dtype.is_numeric():
        return None
    highest, distinct = frame[value].max(), frame[value].n_unique()
    if not isinstance(highest, int | float) or not 3 <= highest <= 10 or distinct > 21:
        return None
    return 0.8 * highest


def _usual(names: Sequence[str], usual: Sequence[str]) -> str | None:
    """Return the column whose bare name is the most usual, or None."""
    bare = {"".join(c for c in name.lower() if c.isalnum()): name for name in reversed(names)}
    return next((bare[name] for name in usual if name in bare), None)
