"""``rankloom validate``, ``expand`` and ``schema``: pipeline files without running them."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

from rankloom.cli.options import ConfigFile, Json, Overrides
from rankloom.cli.show import emit_json, note

__all__ = ["expand", "schema", "validate"]


def validate(config: ConfigFile, set_: Overrides = None, json: Json = False) -> None:
    """Check a pipeline file; mistakes are named with line, key and the nearest right name."""
    from rankloom.config import load_config

    loaded = load_config(config, overrides=tuple(set_ or ()))
    if json:
        emit_json({"valid": True, "name": loaded.name, "file": str(config)})
    else:
        typer.echo(f"{config}: valid")


def expand(config: ConfigFile, set_: Overrides = None, json: Json = False) -> None:
    """Print a pipeline file with every default filled in."""
    from rankloom import config as configuration

    loaded = configuration.load_config(config, overrides=tuple(set_ or ()))
    if json:
        emit_json(configuration.dump(loaded))
    else:
        typer.echo(configuration.expand(loaded), nl=False)


def schema(
    out: Annotated[
        Path | None, typer.Option(help="File to write; default stdout.", show_default=False)
    ] = None,
) -> None:
    """Write the JSON Schema of pipeline files, installed plugins included."""
    from rankloom.config import json_schema

    text = jsonlib.dumps(json_schema(), indent=2, ensure_ascii=False)
    if out is None:
        typer.echo(text)
        return
    out.write_text(text + "\n", encoding="utf-8")
    note(f"wrote {out}; point an editor at it with a first line of a pipeline file:")
    note(f"# yaml-language-server: $schema={out}")
