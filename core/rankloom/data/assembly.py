"""From a raw log and two tables to a data set of contiguous indices."""

from __future__ import annotations

import polars as pl
import torch

from rankloom.data.checks import (
    ROW,
    Decimal,
    Origin,
    RowChecks,
    not_a_number,
    parse_ids,
    parse_numbers,
    parse_times,
    require_columns,
)
from rankloom.data.dataset import Dataset
from rankloom.data.frames import table_of_ids
from rankloom.data.interactions import Interactions
from rankloom.data.tables import Table
from rankloom.errors import DataError, did_you_mean

__all__ = ["WITHOUT_TIME", "WITHOUT_VALUE", "assemble", "clean_log", "join_logs"]

#: Counts in ``Dataset.report`` of what some interactions lack and others have.
WITHOUT_VALUE = "interactions without a value"
WITHOUT_TIME = "interactions without a time"


def clean_log(
    frame: pl.DataFrame,
    columns: dict[str, str],
    origin: Origin,
    checks: RowChecks,
    *,
    time_format: str | None = None,
    times_may_miss: bool = False,
    decimal: Decimal = ".",
) -> pl.DataFrame:
    """Check a raw log.

    Args:
        frame: Raw table with its ``ROW`` column.
        columns: Its column for ``user``, ``item`` and, where there is one, ``value`` and ``time``.
        origin: Where it came from.
        checks: What happens to bad rows.
        time_format: See :func:`rankloom.data.checks.parse_times`.
        times_may_miss: Rows without a time are kept (at 0) and counted, not bad.
        decimal: The decimal mark of values that are text.

    Returns:
        Columns ``ROW``, ``user``, ``item`` (text), ``value`` (float64, null where there is none)
        and ``time`` (int64 seconds); the last two only where the log has them.

    Raises:
        DataError: A column is missing, a row is bad, or no row is left.
    """
    require_columns(frame.columns, columns.values(), origin)
    raw = frame.select(ROW, **{role: pl.col(name) for role, name in columns.items()})
    for role in ("user", "item"):
        raw = raw.with_columns(parse_ids(raw[role]).alias(role))
        missing = raw[role].is_null()
        raw = checks.drop(raw, missing, role, "is missing", origin, label=columns[role])
    if "value" in columns:
        numbers, bad = parse_numbers(raw["value"], decimal)
        problem, label = not_a_number(raw["value"], bad), columns["value"]
        kept = checks.drop(raw, bad, "value", problem, origin, label=label)
        raw = kept.with_columns(numbers.filter(~bad).alias("value"))
    if "time" in columns:
        raw = _clean_times(raw, columns["time"], origin, checks, time_format, times_may_miss)
    if raw.is_empty():
        raise DataError(f"{origin.name}: no row is left after leaving out the bad ones.")
    return raw


def _clean_times(
    raw: pl.DataFrame,
    label: str,
    origin: Origin,
    checks: RowChecks,
    time_format: str | None,
    may_miss: bool,
) -> pl.DataFrame:
    times, bad = parse_times(raw["time"], time_format)
    what = f"in the format {time_format!r}" if time_format else "(numbers or ISO 8601)"
    kept = checks.drop(raw, bad, "time", f"is not a time {what}", origin, label=label)
    kept = kept.with_columns(times.filter(~bad).alias("time"))
    if may_miss:
        return kept
    return checks.drop(kept, kept["time"].is_null(), "time", "is missing", origin, label=label)


def join_logs(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """Return two cleaned logs as one, with ``part`` (0 train, 1 test); rows count on."""
    later = int(train[ROW].to_numpy().max()) if train.height else 0
    parts = [
        train.with_columns(part=pl.lit(0, pl.Int8)),
        test.with_columns(pl.col(ROW) + later, part=pl.lit(1, pl.Int8)),
    ]
    return pl.concat(parts, how="diagonal")


def assemble(
    log: pl.DataFrame,
    items: Table | None,
    users: Table | None,
    origin: Origin,
    checks: RowChecks,
    *,
    name: str,
    add_unknown: bool = False,
    labels: tuple[str, str] = ("user", "item"),
) -> Dataset:
    """Join a cleaned log with its tables.

    Args:
        log: What :func:`clean_log` or :func:`join_logs` returned.
        items: The catalog, or None: the items of the log by first appearance.
        users: The users, likewise.
        origin: Where the log came from.
        checks: What happens to rows whose id the table lacks.
        name: Name of the data set.
        add_unknown: Such ids are added to the table with missing fields instead.
        labels: The log's own names of the user and the item column.

    Returns:
        The data set, all interactions positive; ``given_split`` where the log has ``part``.

    Raises:
        DataError: An interaction's id is not in its table.
    """
    tables = {}
    for role, table, label in (("user", users, labels[0]), ("item", items, labels[1])):
        log, tables[role] = _known(log, role, table, label, origin, checks, add_unknown)
    if log.is_empty():
        raise DataError(f"{origin.name}: no interaction is left: no id is in both tables.")
    return Dataset(
        tables["item"],
        tables["user"],
        _tensors(log, tables, checks),
        torch.ones(log.height, dtype=torch.bool),
        dict(checks.report),
        torch.tensor(log["part"].to_numpy()) if "part" in log.columns else None,
        name,
    )


def _known(
    log: pl.DataFrame,
    role: str,
    table: Table | None,
    label: str,
    origin: Origin,
    checks: RowChecks,
    add_unknown: bool,
) -> tuple[pl.DataFrame, Table]:
    if table is None:
        return log, table_of_ids(role, log[role])
    known = pl.Series(list(table.ids.ids), dtype=pl.String)
    unknown = ~log[role].is_in(known.implode())
    if not unknown.any():
        return log, table
    missing = log.filter(unknown)[role].unique(maintain_order=True)
    if add_unknown:
        checks.count(f"{role}s added that the {role}s table lacks", len(missing))
        return log, table.extended(missing.to_list(), pl.DataFrame(height=len(missing)))
    near = did_you_mean(missing[0], known.head(5000)) if checks.on_bad_rows == "error" else ""
    problem = f"is not in the {role}s table ({len(missing)} such ids).{near}"
    problem = problem if checks.on_bad_rows == "error" else f"is not in the {role}s table"
    return checks.drop(log, unknown, role, problem.rstrip("."), origin, label=label), table


def _tensors(log: pl.DataFrame, tables: dict[str, Table], checks: RowChecks) -> Interactions:
    index = {role: _index(log[role], table) for role, table in tables.items()}
    n = log.height
    values, times = torch.full((n,), torch.nan), torch.zeros(n, dtype=torch.long)
    timed = "time" in log.columns and log["time"].null_count() < n
    if "value" in log.columns and log["value"].null_count() < n:
        checks.count(WITHOUT_VALUE, log["value"].null_count())
        values = torch.tensor(log["value"].cast(pl.Float32).fill_null(float("nan")).to_numpy())
    if timed:
        checks.count(WITHOUT_TIME, log["time"].null_count())
        times = torch.tensor(log["time"].fill_null(0).to_numpy())
    rows = torch.tensor(log[ROW].to_numpy())
    return Interactions(index["user"], index["item"], values, times, rows, timed)


def _index(ids: pl.Series, table: Table) -> torch.Tensor:
    lookup = pl.DataFrame({"id": pl.Series(list(table.ids.ids), dtype=pl.String)})
    joined = ids.to_frame("id").join(
        lookup.with_row_index("at"), on="id", how="left", maintain_order="left"
    )
    return torch.tensor(joined["at"].cast(pl.Int64).to_numpy())
