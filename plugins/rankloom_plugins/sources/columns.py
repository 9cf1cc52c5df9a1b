"""Which column of a table is what."""

from __future__ import annotations

from collections.abc import Sequence

from rankloom.data.checks import ROW, Origin, require_columns
from rankloom.data.column_names import ROLES, usual_column
from rankloom.errors import DataError
from rankloom_plugins.sources.plugin import ColumnNames

__all__ = ["log_columns", "side_id"]


def log_columns(names: Sequence[str], given: ColumnNames, origin: Origin) -> dict[str, str]:
    """Return the column of each role that a log has; user and item are always there.

    Raises:
        DataError: A named column is missing, or the user's or item's cannot be guessed.
    """
    declared = {role: name for role, name in given.model_dump().items() if name is not None}
    absent = {role for role in given.model_fields_set if role not in declared}
    require_columns(names, declared.values(), origin)
    left = [name for name in names if name != ROW and name not in declared.values()]
    columns = {}
    for role in ROLES:
        name = None if role in absent else declared.get(role) or usual_column(left, role)
        if name is not None:
            columns[role] = name
        elif role in {"user", "item"}:
            raise DataError(
                f"{origin.name}: cannot tell which column is the {role}. Name it under 'columns:' "
                f"(columns: {{{role}: NAME}}). Columns: "
                f"{', '.join(name for name in names if name != ROW)}."
            )
    return columns


def side_id(
    names: Sequence[str], side: str, declared: str | None, log_name: str, origin: Origin
) -> str:
    """Return the id column of an items or users table.

    Args:
        names: The table's columns.
        side: ``"item"`` or ``"user"``.
        declared: What config says.
        log_name: What the log calls it.
        origin: Where the table came from.

    Raises:
        DataError: The declared column is missing.
    """
    if declared is not None:
        require_columns(names, [declared], origin)
        return declared
    if log_name in names:
        return log_name
    own = [name for name in names if name != ROW]
    return usual_column(own, side, "id") or own[0]
