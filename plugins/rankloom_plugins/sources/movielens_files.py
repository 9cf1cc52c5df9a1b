"""The three file layouts of MovieLens."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from rankloom.data.checks import Origin, RowChecks, require_columns
from rankloom.data.fields import FieldType
from rankloom.data.loading import read_delimited, read_table
from rankloom.errors import DataError

__all__ = ["Layout", "detect", "read_log", "read_movies", "read_users"]

_RATINGS = ("user", "item", "rating", "timestamp")
_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
)  # fmt: skip
_LATIN = "iso-8859-1"


@dataclass(frozen=True)
class Layout:
    """One way in which MovieLens comes.

    Attributes:
        name: Printed in reports.
        log: File of the ratings.
        movies: File of the films.
        separator: Between fields; None for CSV.
        users: File of the users, if any.
        user_columns: Its columns.
        user_fields: Types of its fields.
    """

    name: str
    log: str
    movies: str
    separator: str | None = None
    users: str | None = None
    user_columns: tuple[str, ...] = ()
    user_fields: dict[str, FieldType] = field(default_factory=dict)


_PEOPLE: dict[str, FieldType] = {
    "age": "number",
    "gender": "category",
    "occupation": "category",
    "zip": "category",
}
_SMALL_USERS = ("id", "age", "gender", "occupation", "zip")
_MILLION_USERS = ("id", "gender", "age", "occupation", "zip")
_LAYOUTS = (
    Layout("MovieLens-100K", "u.data", "u.item", "|", "u.user", _SMALL_USERS, _PEOPLE),
    Layout("MovieLens-1M", "ratings.dat", "movies.dat", "::", "users.dat", _MILLION_USERS, _PEOPLE),
    Layout(
        "MovieLens-1M", "interactions.parquet", "movies.dat", "::", "users.dat", _MILLION_USERS,
        _PEOPLE,
    ),
    Layout("MovieLens", "ratings.csv", "movies.csv"),
)  # fmt: skip


def detect(folder: Path) -> Layout:
    """Return the layout of a folder.

    Raises:
        DataError: The folder is missing or holds none.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder. 'path' names the folder that holds u.data, ratings.dat or "
            f"ratings.csv; relative paths start at the pipeline file's folder."
        )
    for layout in _LAYOUTS:
        if (folder / layout.movies).is_file() and (
            (folder / layout.log).is_file() or layout.log == "u.data"
        ):
            return layout
    wanted = "; ".join(f"{layout.log} with {layout.movies}" for layout in _LAYOUTS)
    raise DataError(f"{folder} holds no MovieLens files. Looked for: {wanted}.")


def read_log(
    path: Path, layout: Layout, checks: RowChecks
) -> tuple[pl.DataFrame, dict[str, str], Origin]:
    """Read ratings: the raw table, its columns by role, and its origin."""
    if path.suffix in {".csv", ".parquet"}:
        frame, origin = read_table(path, checks)
        names = ("userId", "movieId") if path.suffix == ".csv" else ("user_id", "movie_id")
        user, item = names
    else:
        separator = "\t" if layout.separator == "|" else "::"
        frame, origin = read_delimited(path, _RATINGS, separator, checks, encoding=_LATIN)
        user, item = "user", "item"
    return frame, {"user": user, "item": item, "value": "rating", "time": "timestamp"}, origin


def read_movies(folder: Path, layout: Layout, checks: RowChecks) -> tuple[pl.DataFrame, Origin]:
    """Read films: ``id``, ``title``, ``genres`` (lists, null where none), perhaps ``released``."""
    path = folder / layout.movies
    if layout.separator == "|":
        columns = ("id", "title", "released", "video", "url", *_GENRES)
        frame, origin = read_delimited(path, columns, "|", checks, encoding=_LATIN)
        flags = [
            pl.when(pl.col(name) == "1").then(pl.lit(name)) for name in _GENRES if name != "unknown"
        ]
        frame = frame.with_columns(genres=pl.concat_list(flags).list.drop_nulls())
        frame = frame.drop("video", "url", *_GENRES)
    else:
        if layout.separator is None:
            frame, origin = read_table(path, checks)
            require_columns(frame.columns, ("movieId", "title", "genres"), origin)
            frame = frame.rename({"movieId": "id"})
        else:
            names = ("id", "title", "genres")
            frame, origin = read_delimited(path, names, "::", checks, encoding=_LATIN)
        none = pl.col("genres") == "(no genres listed)"
        listed = pl.when(none).then(None).otherwise(pl.col("genres")).str.split("|")
        frame = frame.with_columns(genres=listed)
    empty = pl.col("genres").list.len() == 0
    return frame.with_columns(genres=pl.when(empty).then(None).otherwise(pl.col("genres"))), origin


def read_users(
    folder: Path, layout: Layout, checks: RowChecks
) -> tuple[pl.DataFrame, Origin] | None:
    """Read users where the layout has them and the file is there."""
    if layout.users is None or not (folder / layout.users).is_file():
        return None
    separator = layout.separator or ","
    return read_delimited(
        folder / layout.users, layout.user_columns, separator, checks, encoding=_LATIN
    )
