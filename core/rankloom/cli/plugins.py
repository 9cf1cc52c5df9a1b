"""``rankloom plugins``: what is installed and what it brings."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer

from rankloom.cli.options import Json
from rankloom.cli.show import emit_json, print_table

__all__ = ["app", "list_plugins"]

app = typer.Typer(help="Installed plugins.", no_args_is_help=True)


@app.callback()
def plugins() -> None:
    """Installed plugins."""


@app.command("list")
def list_plugins(
    components: Annotated[
        bool, typer.Option("--components", help="One line a component instead of a plugin.")
    ] = False,
    json: Json = False,
) -> None:
    """List plugins with distribution, version, components, modality, extras and wrapped stages."""
    from rankloom.host import get_host

    found = [dataclasses.asdict(plugin) for plugin in get_host().plugins()]
    if json:
        emit_json(found)
    elif components:
        _print_components(found)
    else:
        _print_plugins(found)


def _print_plugins(found: list[dict[str, Any]]) -> None:
    print_table(
        "",
        ["plugin", "distribution", "version", "components", "wraps", "state"],
        [],
    )


def _print_components(found: list[dict[str, Any]]) -> None:
    print_table("", [], [])
