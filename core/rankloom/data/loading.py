"""Reading CSV, TSV, Parquet and delimited text, with errors that name file and row."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from rankloom.data.checks import ROW, Origin, RowChecks
from rankloom.errors import DataError

__all__ = ["read_delimited", "read_table", "with_rows"]

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": ","}


def read_table(
    path: Path,
    checks: RowChecks,
    *,
    separator: str | None = None,
    encoding: str = "utf-8",
) -> tuple[pl.DataFrame, Origin]:
    """Read a table with a header; CSV and TSV columns come as text, Parquet columns typed.

    Args:
        path: ``.csv``, ``.tsv``, ``.txt`` or ``.parquet``.
        checks: Counts rows of the wrong width under ``skip``.
        separator: Overrides what the ending says.
        encoding: Of text files.

    Returns:
        The table with its ``ROW`` column, and its origin.

    Raises:
        DataError: The file is missing, empty, of an unknown format, in another encoding, or a row
            has the wrong number of fields.
    """
    _require_file(path)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        origin = Origin(str(path))
        try:
            frame = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{path} cannot be read as Parquet: {error}") from error
    elif suffix in _SEPARATORS or separator is not None:
        origin = Origin(str(path), first_row=2)
        frame = _read_csv(path, separator or _SEPARATORS[suffix], encoding, origin, checks)
    else:
        raise DataError(
            f"{path}: the ending {suffix!r} is unknown. Use .csv, .tsv or .parquet, or give a "
            f"'separator'."
        )
    if frame.is_empty():
        raise DataError(f"{path} has a header but no rows.")
    return frame if ROW in frame.columns else with_rows(frame, origin), origin


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
    lines = _decode(path, encoding).split("\n")
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


def _decode(path: Path, encoding: str) -> str:
    data = path.read_bytes()
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


def _read_csv(
    path: Path, separator: str, encoding: str, origin: Origin, checks: RowChecks
) -> pl.DataFrame:
    utf8 = encoding.lower().replace("_", "-") in {"utf-8", "utf8"}
    source: Path | io.BytesIO = path if utf8 else io.BytesIO(_decode(path, encoding).encode())
    try:
        frame = pl.read_csv(source, separator=separator, infer_schema=False, glob=False)
    except pl.exceptions.NoDataError as error:
        raise DataError(f"{path} is empty.") from error
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        return _read_csv_slowly(path, separator, encoding, origin, checks)
    if frame.width and frame[:, -1].null_count():
        # polars fills short rows with nulls: only a second look tells them from empty cells
        return _read_csv_slowly(path, separator, encoding, origin, checks)
    return frame


def _read_csv_slowly(
    path: Path, separator: str, encoding: str, origin: Origin, checks: RowChecks
) -> pl.DataFrame:
    """Read record by record, so that rows of the wrong width can be named."""
    text = _decode(path, encoding).removeprefix("\ufeff")
    records = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    header, body = records[0], records[1:]
    kept = pl.DataFrame({"fields": pl.Series(body, dtype=pl.List(pl.String))})
    kept = with_rows(kept, origin).filter(pl.col("fields").list.len() > 0)
    wrong = kept["fields"].list.len() != len(header)
    kept = checks.drop(kept, wrong, "fields", f"has not the header's {len(header)} fields", origin)
    columns = {name: kept["fields"].list.get(i) for i, name in enumerate(header)}
    frame = pl.DataFrame({ROW: kept[ROW], **columns})
    return frame.with_columns(
        pl.when(pl.col(name) == "").then(None).otherwise(pl.col(name)).alias(name)
        for name in columns
    )
