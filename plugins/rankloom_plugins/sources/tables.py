"""The source ``tables``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import polars as pl

from rankloom.data.assembly import assemble, clean_log, join_logs
from rankloom.data.cells import first
from rankloom.data.checks import ROW, Decimal, Origin, RowChecks, require_columns
from rankloom.data.dataset import Dataset
from rankloom.data.fields import FieldSpec
from rankloom.data.frames import FieldSource, as_frame, build_table
from rankloom.data.inference import infer_fields
from rankloom.data.loading import read_table, with_rows
from rankloom.data.tables import Table
from rankloom.errors import ConfigError, DataError
from rankloom.protocols import Build
from rankloom_plugins.sources.columns import log_columns, side_id
from rankloom_plugins.sources.joining import Part, drop_unknown, joined, require_own_columns
from rankloom_plugins.sources.plugin import DeclaredField, TablesConfig

__all__ = ["TablesSource"]


class TablesSource:
    """Loads a log and, where there are any, tables of items and users."""

    def __init__(self, config: TablesConfig, build: Build) -> None:
        self.config = config
        self.base_dir = build.base_dir
        self._frames: dict[str, pl.DataFrame] = {}

    @classmethod
    def from_frames(
        cls,
        config: TablesConfig,
        build: Build,
        interactions: Any,
        items: Any = None,
        users: Any = None,
        test_interactions: Any = None,
    ) -> Self:
        """Return a source that reads data frames instead of the config's files.

        Args:
            config: Columns and fields; a path in it is read only where no frame is given.
            build: As for every component.
            interactions: Polars, pandas or Arrow table of who did what.
            items: Table of items, or None.
            users: Table of users, or None.
            test_interactions: Given test interactions, or None.
        """
        source = cls(config, build)
        given = {
            "interactions": interactions,
            "items": items,
            "users": users,
            "test_interactions": test_interactions,
        }
        source._frames = {
            name: as_frame(frame) for name, frame in given.items() if frame is not None
        }
        return source

    def load(self) -> Dataset:
        """Read and check everything.

        Raises:
            ConfigError: Neither a path nor a data frame was given.
            DataError: A file, a row or a value is wrong; the message names it.
        """
        config, checks = self.config, RowChecks(self.config.on_bad_rows)
        found = self._read("interactions", config.interactions, checks)
        if found is None:
            raise ConfigError(
                "The source 'tables' needs 'interactions': a path, or a data frame handed to fit()."
            )
        log, origin, columns = self._log(*found, checks)
        held_out = self._read("test_interactions", config.test_interactions, checks)
        if held_out is not None:
            more, second, _ = self._log(*held_out, checks)
            log, origin = join_logs(log, more), Origin(f"{origin.name} then {second.name}")
        return assemble(
            log,
            self._side("item", config.items, config.item_id, columns["item"], checks),
            self._side("user", config.users, config.user_id, columns["user"], checks),
            origin,
            checks,
            name=self._name(),
            add_unknown=config.add_unknown,
            labels=(columns["user"], columns["item"]),
        )

    def _name(self) -> str:
        if "interactions" in self._frames or self.config.interactions is None:
            return "data frames"
        paths = [self.config.interactions, self.config.test_interactions]
        return " then ".join(path.name for path in paths if path is not None)

    def _read(
        self, name: str, path: Path | None, checks: RowChecks
    ) -> tuple[pl.DataFrame, Origin] | None:
        if name in self._frames:
            origin = Origin(f"the data frame {name!r}")
            if self._frames[name].is_empty():
                raise DataError(f"{origin.name} has no rows.")
            return with_rows(self._frames[name], origin), origin
        if path is None:
            return None
        config = self.config
        return read_table(
            self.base_dir / path, checks, separator=config.separator, encoding=config.encoding
        )

    def _log(
        self, raw: pl.DataFrame, origin: Origin, checks: RowChecks
    ) -> tuple[pl.DataFrame, Origin, dict[str, str]]:
        columns = log_columns(raw.columns, self.config.columns, origin)
        log = clean_log(
            raw,
            columns,
            origin,
            checks,
            time_format=self.config.time_format,
            decimal=self.config.decimal,
        )
        return log, origin, columns

    def _side(
        self,
        side: str,
        paths: Path | list[Path] | None,
        declared_id: str | None,
        log_id: str,
        checks: RowChecks,
    ) -> Table | None:
        declared = self.config.item_fields if side == "item" else self.config.user_fields
        parts = []
        for raw, origin in self._files(f"{side}s", paths, checks):
            key = side_id(raw.columns, side, declared_id, log_id, origin)
            parts.append(Part(raw, origin, key))
        if not parts:
            if declared:
                raise ConfigError(
                    f"'{side}_fields' are declared, but there is no '{side}s' table to read."
                )
            return None
        require_own_columns(parts)
        everywhere = Origin(" and ".join(part.origin.name for part in parts))
        columns = [name for part in parts for name in part.columns]
        require_columns(
            columns, (_column(name, entry) for name, entry in declared.items()), everywhere
        )
        table = self._table(side, parts[0], declared, checks)
        for part in parts[1:]:
            table, kept = drop_unknown(
                table, parts[0].origin, part, checks, self.config.add_unknown
            )
            table = joined(table, self._table(side, kept, declared, checks))
        return table

    def _files(
        self, name: str, paths: Path | list[Path] | None, checks: RowChecks
    ) -> list[tuple[pl.DataFrame, Origin]]:
        each: list[Path | None] = [None]  # a data frame stands for all files
        if name not in self._frames:
            each = [*paths] if isinstance(paths, list) else [paths]
        found = [self._read(name, path, checks) for path in each]
        return [one for one in found if one is not None]

    def _table(
        self,
        side: str,
        part: Part,
        declared: Mapping[str, str | DeclaredField],
        checks: RowChecks,
    ) -> Table:
        own = {name: e for name, e in declared.items() if _column(name, e) in part.columns}
        fields = _fields(side, part.raw.drop(part.key), own, part.origin, self.config.decimal)
        return _with_lengths(build_table(side, part.raw, part.key, fields, part.origin, checks))


def _column(name: str, entry: str | DeclaredField) -> str:
    return (entry.column if isinstance(entry, DeclaredField) else None) or name


def _with_lengths(table: Table) -> Table:
    """Return the table with the lengths of vectors that were declared without one."""
    specs = dict(table.fields)
    for name, spec in specs.items():
        if spec.type == "vector" and not spec.length:
            specs[name] = replace(spec, length=first(table.frame[name].list.len().drop_nulls()))
    return replace(table, fields=specs)


def _fields(
    side: str,
    raw: pl.DataFrame,
    declared: Mapping[str, str | DeclaredField],
    origin: Origin,
    decimal: Decimal,
) -> dict[str, FieldSource]:
    """Return declared fields and, for all other columns, inferred ones."""
    fields: dict[str, FieldSource] = {}
    for name, given in declared.items():
        entry = (
            given
            if isinstance(given, DeclaredField)
            else DeclaredField.model_validate({"type": given})
        )
        column = entry.column or name
        require_columns(raw.columns, [column], origin)
        spec = FieldSpec(f"{side}.{name}", entry.type, entry.multiple, entry.length)
        fields[name] = FieldSource(spec, column, entry.separator, entry.time_format, decimal)
    used = {source.column for source in fields.values()} | {ROW}
    rest = raw.select(name for name in raw.columns if name not in used and name not in fields)
    return {**fields, **infer_fields(rest, side, decimal)}
