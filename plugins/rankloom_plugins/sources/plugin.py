"""Manifest of the sources."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from rankloom import ComponentConfig, component, hookimpl
from rankloom.components import ComponentSpec

__all__ = ["ColumnNames", "DeclaredField", "MovieLensConfig", "TablesConfig"]

DeclaredType = Literal["category", "number", "vector", "timestamp", "text", "image", "audio"]


class MovieLensConfig(ComponentConfig):
    """MovieLens as GroupLens hands it out: 100K, 1M, or a CSV release such as latest-small."""

    type: Literal["movielens"] = "movielens"
    path: Path
    """Folder with ``u.data``, ``ratings.dat`` or ``ratings.csv``; relative to the pipeline file."""
    text: bool = True
    """Also make the text field ``title_genres``: ``Title (year). Genres: a, b``."""
    train: str | None = None
    """File in the folder with the given training ratings (``u1.base``), for the split ``files``."""
    test: str | None = None
    """File in the folder with the given test ratings (``u1.test``)."""
    on_bad_rows: Literal["error", "skip"] = "error"
    """A bad row is an error that names it, or left out and counted."""

    @model_validator(mode="after")
    def _both_parts(self) -> MovieLensConfig:
        if (self.train is None) != (self.test is None):
            raise ValueError("'train' and 'test' go together: give both files or neither")
        return self


class ColumnNames(BaseModel):
    """Which column of a log is what; null: none. Those not given are guessed from usual names."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    user: str | None = None
    """Column of the user's id."""
    item: str | None = None
    """Column of the item's id."""
    value: str | None = None
    """Column of the rating or another number; a log may have none."""
    time: str | None = None
    """Column of the time; a log may have none, its order is then the file's."""

    @model_serializer(mode="wrap")
    def _as_given(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what was not given: written as null it would mean that there is none."""
        return {name: value for name, value in plain(self).items() if name in self.model_fields_set}


class DeclaredField(BaseModel):
    """A field of a table, its type and where it stands."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    type: DeclaredType
    """What the values are."""
    column: str | None = None
    """Column of the table; default: the field's name."""
    multiple: bool = False
    """A cell holds several values (genres); for ``category``."""
    separator: str = "|"
    """Between the values of one cell, for ``multiple`` and ``vector``."""
    length: int = 0
    """Width of a ``vector``; 0: that of the first row."""
    time_format: str | None = None
    """Of a ``timestamp``: ``s``, ``ms``, ``us``, ``ns`` or a strftime pattern; None: guess."""


class TablesConfig(ComponentConfig):
    """CSV, TSV, JSON lines, Parquet or NumPy files, or data frames; fields declared or inferred."""

    type: Literal["tables"] = "tables"
    interactions: Path | None = None
    """File of who did what; None where data frames are handed in."""
    test_interactions: Path | None = None
    """File of the given test interactions, for the split ``files``."""
    items: Path | list[Path] | None = None
    """File of the items; None: the catalog is made of the ids in the log. Of several files the
    first says which items there are; the others add fields (embeddings), joined by id."""
    users: Path | list[Path] | None = None
    """File or files of the users; None: made of the ids in the log."""
    columns: ColumnNames = ColumnNames()
    """Which column of the log is what."""
    item_id: str | None = None
    """Id column of the items; default: the log's name for it, a common name, or the first."""
    user_id: str | None = None
    """Id column of the users; likewise."""
    item_fields: dict[str, DeclaredType | DeclaredField] = Field(default_factory=dict)
    """Fields of the items: a type, or a type with its column; all others are inferred."""
    user_fields: dict[str, DeclaredType | DeclaredField] = Field(default_factory=dict)
    """Fields of the users; likewise."""
    time_format: str | None = None
    """Of the log's times: ``s``, ``ms``, ``us``, ``ns`` or a strftime pattern; None: guess."""
    separator: str | None = None
    """Between the columns of text files; default: what the ending says, or the header shows."""
    decimal: Literal[".", ","] = "."
    """Decimal mark of numbers in text files."""
    encoding: str = "utf-8"
    """Of text files."""
    add_unknown: bool = False
    """Ids of the log, or of a further file of a table, that the table lacks are added to it with
    missing fields, and counted."""
    on_bad_rows: Literal["error", "skip"] = "error"
    """A bad row is an error that names it, or left out and counted."""


@hookimpl
def register_sources() -> Sequence[ComponentSpec]:
    """Register the built-in sources."""
    return [
        component(MovieLensConfig, "rankloom_plugins.sources.movielens:MovieLensSource"),
        component(TablesConfig, "rankloom_plugins.sources.tables:TablesSource"),
    ]
