"""Reading CSV, TSV, JSON lines, Parquet, NumPy and delimited text; errors name file and row."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl

from rankloom.data.arrays import read_arrays
from rankloom.data.checks import ROW, Origin, RowChecks
from rankloom.data.files import Format, guess_separator, kind_of, open_plain, read_bytes
from rankloom.errors import DataError

__all__ = ["read_delimited", "read_table", "with_rows"]


@dataclass(frozen=True)
class _Text:
    """A text file and how to read it."""

    path: Path
    packed: bool = False
    encoding: str = "utf-8"
    n_rows: int | None = None


def read_table(
    path: Path,
    checks: RowChecks,
    *,
    separator: str | None = None,
    encoding: str = "utf-8",
    n_rows: int | None = None,
) -> tuple[pl.DataFrame, Origin]:
    """Read a table with a header; columns of text files come as text, others typed.

    Args:
        path: ``.csv``, ``.tsv``, ``.txt`` or ``.jsonl``, each perhaps packed (``.csv.gz``), or
            ``.parquet``, or ``.npz`` (NumPy arrays: each a column, vectors where it has two
            dimensions).
        checks: Counts rows of the wrong width under ``skip``.
        separator: None: the ending's, or what the header shows
            (:func:`rankloom.data.files.guess_separator`).
        encoding: Of text files.
        n_rows: Read at most so many.

    Returns:
        The table with its ``ROW`` column, and its origin.

    Raises:
        DataError: The file is missing, empty, of an unknown format, in another encoding, or a row
            has the wrong number of fields.
    """
    _require_file(path)
    form = kind_of(path, separator)
    origin = Origin(str(path), first_row=2 if form.kind == "text" else 1)
    if form.kind == "text":
        cut = separator or guess_separator(path, form, encoding)
        frame = _read_csv(_Text(path, form.packed, encoding, n_rows), cut, origin, checks)
    else:
        frame = _read_typed(path, form, n_rows)
    if frame.is_empty():
        what = "a header but no rows" if form.kind == "text" else "no rows"
        raise DataError(f"{path} has {what}.")
    return frame if ROW in frame.columns else with_rows(frame, origin), origin


def _read_typed(path: Path, form: Format, n_rows: int | None) -> pl.DataFrame:
    if form.kind == "npz":
        return read_arrays(path, n_rows)
    try:
        if form.kind == "parquet":
            return pl.read_parquet(path, n_rows=n_rows)
        source = io.BytesIO(read_bytes(path, True)) if form.packed else path
        return pl.read_ndjson(source, n_rows=n_rows, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty.") from error
        name = "Parquet" if form.kind == "parquet" else "JSON, one object a line"
        raise DataError(f"{path} cannot be read as {name}: {error}") from error


def read_delimited(
    path: Path,
    columns: Sequence[str],
    separator: str,
    checks: RowChecks,
    *,
    encoding: str = "utf-8",
) -> tuple[pl.DataFrame, Origin]:
    """Read a file without header or quoting, whose separator may have several characters.

    Args:
        path: The file.
        columns: Names of its columns, in order.
        separator: Such as ``"|"`` or ``"::"``.
        checks: Counts rows of the wrong width under ``skip``.
        encoding: Of the file.

    Returns:
        The table as text (null where empty) with its ``ROW`` column, and its origin.

    Raises:
        DataError: As for :func:`read_table`.
    """
    _require_file(path)
    origin = Origin(str(path))
    # not splitlines(): it also breaks at characters that ISO-8859-1 texts hold
    lines = _decode(_Text(path, encoding=encoding)).split("\n")
    frame = pl.DataFrame({"line": pl.Series(lines, dtype=pl.String).str.strip_chars_end("\r")})
    frame = with_rows(frame, origin).filter(pl.col("line") != "")
    if frame.is_empty():
        raise DataError(f"{path} is empty.")
    width = frame["line"].str.count_matches(separator, literal=True) + 1
    problem = f"has not {len(columns)} fields separated by {separator!r}"
    frame = checks.drop(frame, width != len(columns), "line", problem, origin)
    parts = frame["line"].str.split_exact(separator, len(columns) - 1).struct
    named = {name: parts.field(f"field_{i}") for i, name in enumerate(columns)}
    named = {name: column.set(column == "", None) for name, column in named.items()}
    return pl.DataFrame({ROW: frame[ROW], **named}), origin


def with_rows(frame: pl.DataFrame, origin: Origin) -> pl.DataFrame:
    """Return the table with its ``ROW`` column in front."""
    return frame.with_row_index(ROW, offset=origin.first_row).with_columns(
        pl.col(ROW).cast(pl.Int64)
    )


def _require_file(path: Path) -> None:
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {what}. Relative paths start at the pipeline file's folder.")


def _decode(text: _Text) -> str:
    path, encoding = text.path, text.encoding
    data = read_bytes(path, text.packed)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, row {row}: the byte 0x{data[error.start]:02X} is not valid {encoding}. Save "
            f"the file as {encoding}, or name its encoding (such as 'encoding: iso-8859-1')."
        ) from error
    except LookupError as error:
        raise DataError(f"{path}: the encoding {encoding!r} is unknown.") from error


def _read_csv(text: _Text, separator: str, origin: Origin, checks: RowChecks) -> pl.DataFrame:
    utf8 = text.encoding.lower().replace("_", "-") in {"utf-8", "utf8"}
    source = text.path if utf8 and not text.packed else io.BytesIO(_decode(text).encode())
    _require_distinct(text, separator)
    try:
        frame = pl.read_csv(
            source, separator=separator, infer_schema=False, glob=False, n_rows=text.n_rows
        )
    except pl.exceptions.NoDataError as error:
        raise DataError(f"{text.path} is empty.") from error
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        return _read_csv_slowly(text, separator, origin, checks)
    if frame.width and frame[:, -1].null_count():
        # polars fills short rows with nulls: only a second look tells them from empty cells
        return _read_csv_slowly(text, separator, origin, checks)
    return frame


def _require_distinct(text: _Text, separator: str) -> None:
    """Check that no name stands twice in the header: polars would rename the second one."""
    with suppress(OSError, EOFError, LookupError), open_plain(text.path, text.packed) as handle:
        line = handle.readline(1 << 20).decode(text.encoding, "replace").removeprefix("\ufeff")
        names = next(csv.reader([line], delimiter=separator), [])
        twice = next((name for name in names if name and names.count(name) > 1), None)
        if twice is not None:
            raise DataError(
                f"{text.path} has two columns named {twice!r}. Rename or remove one of them."
            )


def _read_csv_slowly(
    text: _Text, separator: str, origin: Origin, checks: RowChecks
) -> pl.DataFrame:
    """Read record by record, so that rows of the wrong width can be named."""
    plain = _decode(text).removeprefix("\ufeff")
    records = csv.reader(io.StringIO(plain, newline=""), delimiter=separator)
    header, body = next(records), list(islice(records, text.n_rows))
    kept = pl.DataFrame({"fields": pl.Series(body, dtype=pl.List(pl.String))})
    kept = with_rows(kept, origin).filter(pl.col("fields").list.len() > 0)
    wrong = kept["fields"].list.len() != len(header)
    problem = f"has not the header's {len(header)} fields"
    kept = checks.drop(kept, wrong, "fields", problem, origin, label="(all)")
    columns = {name: kept["fields"].list.get(i) for i, name in enumerate(header)}
    frame = pl.DataFrame({ROW: kept[ROW], **columns})
    return frame.with_columns(
        pl.when(pl.col(name) == "").then(None).otherwise(pl.col(name)).alias(name)
        for name in columns
    )
