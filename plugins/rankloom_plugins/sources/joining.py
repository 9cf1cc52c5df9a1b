"""One table of items or users out of several files, joined by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from rankloom.data.checks import ROW, Origin, RowChecks, parse_ids
from rankloom.data.tables import Table
from rankloom.errors import DataError

__all__ = ["Part", "drop_unknown", "joined", "require_own_columns"]

_ID = "__id__"


@dataclass(frozen=True)
class Part:
    """One file of a table.

    Attributes:
        raw: As it was read, with its ``ROW`` column.
        origin: Where it came from.
        key: Its id column.
    """

    raw: pl.DataFrame
    origin: Origin
    key: str

    @property
    def columns(self) -> list[str]:
        """All columns but the id's and the row numbers."""
        return [name for name in self.raw.columns if name not in (self.key, ROW)]


def require_own_columns(parts: Sequence[Part]) -> None:
    """Check that no column is in two files: which of them counts would be a guess.

    Raises:
        DataError: One is; the message names it and both files.
    """
    owner: dict[str, str] = {}
    for part in parts:
        for name in part.columns:
            if name in owner:
                raise DataError(
                    f"The column {name!r} is in {owner[name]} and in {part.origin.name}. Rename or "
                    "remove it in one of them."
                )
            owner[name] = part.origin.name


def drop_unknown(
    first: Table, origin: Origin, part: Part, checks: RowChecks, add_unknown: bool
) -> tuple[Table, Part]:
    """Treat ids of a further file that the first one lacks.

    Args:
        first: The table so far.
        origin: Of the first file.
        part: The further file.
        checks: Such rows are an error, or dropped and counted.
        add_unknown: Add them to the table, with missing values, and count them.

    Returns:
        The table, and the file without rows that belong to nothing.

    Raises:
        DataError: Naming file, row and id.
    """
    ids = parse_ids(part.raw[part.key])
    known = pl.Series(list(first.ids.ids), dtype=pl.String)
    unknown = ids.is_not_null() & ~ids.is_in(known.implode())
    if not unknown.any():
        return first, part
    fresh = ids.filter(unknown).unique(maintain_order=True)
    if add_unknown:
        checks.count(f"{first.side}s of {part.origin.name} added that {origin.name} lacks",
                     len(fresh))  # fmt: skip
        return first.extended(fresh.to_list(), pl.DataFrame(height=len(fresh))), part
    problem = f"is not in {origin.name}"
    if checks.on_bad_rows == "error":
        problem += f" ({len(fresh)} such ids; 'add_unknown: true' would add them)"
    kept = checks.drop(part.raw, unknown, part.key, problem, part.origin)
    return first, Part(kept, part.origin, part.key)


def joined(first: Table, other: Table) -> Table:
    """Return the first table with the other's fields, by id; null where the other lacks a row.

    Raises:
        DataError: Both have a field of one name.
    """
    twice = next((name for name in other.fields if name in first.fields), None)
    if twice is not None:
        raise DataError(
            f"Two files of the {first.side}s give a field named {twice!r}. Rename one of them."
        )
    rows = other.frame.with_columns(pl.Series(_ID, list(other.ids.ids), dtype=pl.String))
    left = pl.DataFrame({_ID: pl.Series(list(first.ids.ids), dtype=pl.String)})
    found = left.join(rows, on=_ID, how="left", maintain_order="left").drop(_ID)
    frame = pl.concat([first.frame, found], how="horizontal") if first.frame.width else found
    return Table(first.side, first.ids, frame, {**first.fields, **other.fields})
