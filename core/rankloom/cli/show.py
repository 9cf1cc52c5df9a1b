"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

__all__ = ["cell", "console", "emit_json", "note", "plain", "print_frame", "print_table"]


#: Columns of tables that go to a file or a pipe.
_PIPE_WIDTH = 120


def console(*, stderr: bool = False) -> Console:
    """Return a console on the current stdout (or stderr).

    A file or a pipe has no width of its own; the 80 columns that rich assumes cut tables short.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    piped = not stream.isatty() and "COLUMNS" not in os.environ
    return Console(stderr=stderr, width=_PIPE_WIDTH if piped else None)


def note(message: str) -> None:
    """Tell something to the person on stderr, so that stdout stays the answer."""
    typer.echo(message, err=True)


def emit_json(value: Any) -> None:
    """Print a value as JSON on stdout."""
    typer.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))


def plain(value: Any) -> Any:
    """Return a value of JSON types alone; NaN and infinities become null, as JSON has neither."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"))
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return str(value)


def cell(value: Any) -> str:
    """Return a value as a table cell: four decimals (none from 100 on), lists joined."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) >= 100  # a year, not a score
        return "" if math.isnan(value) else f"{value:.0f}" if whole else f"{value:.4f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {cell(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(cell(item) for item in value)
    return str(value)


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, target: Any = None
) -> None:
    """Print rows under their column names; numbers are aligned to the right.

    Args:
        title: Printed above; may be empty.
        columns: Column names.
        rows: One sequence of values a row, in the order of ``columns``.
        target: The rich console to print on; default a fresh one on stdout.
    """
    from rich.markup import escape
    from rich.table import Table

    body = [list(row) for row in rows]
    table = Table(title=title or None, title_justify="left")
    for position, name in enumerate(columns):
        numeric = bool(body) and all(
            isinstance(row[position], int | float) or row[position] is None for row in body
        )
        table.add_column(escape(name), justify="right" if numeric else "left", overflow="fold")
    for row in body:
        table.add_row(*(escape(cell(value)) for value in row))
    (target or console()).print(table)


def print_frame(title: str, frame: pl.DataFrame, *, target: Any = None) -> None:
    """Print a polars frame, every row of it."""
    print_table(title, frame.columns, frame.iter_rows(), target=target)
