"""``rankloom init``: a commented pipeline file for data that somebody brings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankloom.cli.show import note
from rankloom.errors import ConfigError

__all__ = ["init"]


def init(
    interactions: Annotated[
        Path,
        typer.Argument(
            metavar="RATINGS", help="CSV, TSV or Parquet of who did what.", show_default=False
        ),
    ],
    items: Annotated[
        Path | None, typer.Option(help="Table of the items and their fields.", show_default=False)
    ] = None,
    users: Annotated[
        Path | None, typer.Option(help="Table of the users and their fields.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("pipeline.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Guess columns and field types, and write a commented pipeline file."""
    if out.exists() and not force:
        raise ConfigError(f"{out} exists. Give another --out, or --force to overwrite it.")
    for given in (interactions, items, users):
        if given is not None and not given.is_file():
            raise ConfigError(f"There is no file {given}.")
    from rankloom.cli.template import look_at, render

    seen = look_at(interactions, items, users, out.resolve().parent)
    out.write_text(render(seen), encoding="utf-8")
    for doubt in seen.doubts:
        note(f"please check: {doubt}")
    note(f"wrote {out}; next: rankloom validate {out}, rankloom data describe {out}")
