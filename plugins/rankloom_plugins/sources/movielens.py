"""The source ``movielens``."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from rankloom.data.assembly import assemble, clean_log, join_logs
from rankloom.data.checks import Origin, RowChecks
from rankloom.data.dataset import Dataset
from rankloom.data.fields import FieldSpec, FieldType
from rankloom.data.frames import FieldSource, build_table
from rankloom.data.tables import Table
from rankloom.protocols import Build
from rankloom_plugins.sources.movielens_files import (
    Layout,
    detect,
    read_log,
    read_movies,
    read_users,
)
from rankloom_plugins.sources.plugin import MovieLensConfig
from rankloom_plugins.sources.titles import movie_fields

__all__ = ["MovieLensSource"]


class MovieLensSource:
    """Loads 100K, 1M and the CSV releases of MovieLens.

    Items have ``title`` (text, without year, article in front), ``year`` (number), ``genres``
    (multiple categories) and, with ``text``, ``title_genres`` (text). Users of 100K and 1M have
    ``age`` (number), ``gender``, ``occupation`` and ``zip`` (categories).
    """

    def __init__(self, config: MovieLensConfig, build: Build) -> None:
        self.config = config
        self.folder = build.base_dir / config.path

    def load(self) -> Dataset:
        """Read and check the folder.

        Raises:
            DataError: A file is missing, empty or wrong, a row is bad, or a rating is of a film
                that the film file lacks.
        """
        layout = detect(self.folder)
        checks = RowChecks(self.config.on_bad_rows)
        items, users = self._items(layout, checks), self._users(layout, checks)
        log, origin, labels = self._log(layout, checks)
        name = f"{layout.name} ({' then '.join(self._files(layout))})"
        return assemble(log, items, users, origin, checks, name=name, labels=labels)

    def _files(self, layout: Layout) -> list[str]:
        given = [name for name in (self.config.train, self.config.test) if name is not None]
        return given or [layout.log]

    def _log(
        self, layout: Layout, checks: RowChecks
    ) -> tuple[pl.DataFrame, Origin, tuple[str, str]]:
        paths = [self.folder / name for name in self._files(layout)]
        log, first, labels = self._part(paths[0], layout, checks)
        if len(paths) == 1:
            return log, first, labels
        more, second, _ = self._part(paths[1], layout, checks)
        return join_logs(log, more), Origin(f"{first.name} then {second.name}"), labels

    def _part(
        self, path: Path, layout: Layout, checks: RowChecks
    ) -> tuple[pl.DataFrame, Origin, tuple[str, str]]:
        raw, columns, origin = read_log(path, layout, checks)
        # the 1M log is also passed on with some ratings and their times left out
        may_miss = path.suffix == ".parquet"
        log = clean_log(raw, columns, origin, checks, times_may_miss=may_miss)
        return log, origin, (columns["user"], columns["item"])

    def _items(self, layout: Layout, checks: RowChecks) -> Table:
        raw, origin = read_movies(self.folder, layout, checks)
        films = movie_fields(raw, text=self.config.text)
        types: dict[str, FieldType] = {"title": "text", "year": "number", "genres": "category"}
        if self.config.text:
            types["title_genres"] = "text"
        fields = {
            name: FieldSource(FieldSpec(f"item.{name}", kind, name == "genres"), name)
            for name, kind in types.items()
        }
        return build_table("item", films, "id", fields, origin, checks)

    def _users(self, layout: Layout, checks: RowChecks) -> Table | None:
        found = read_users(self.folder, layout, checks)
        if found is None:
            return None
        raw, origin = found
        fields = {
            name: FieldSource(FieldSpec(f"user.{name}", kind), name)
            for name, kind in layout.user_fields.items()
        }
        return build_table("user", raw, "id", fields, origin, checks)
