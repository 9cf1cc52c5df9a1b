"""``rankloom plugins``: what is installed and what it brings."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer

from rankloom.cli.options import Json
from rankloom.cli.show import emit_json, note, print_table

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
    columns = ["plugin", "from", "components", "modality", "extras", "wraps", "state"]
    print_table("", columns, [_row(plugin) for plugin in found])
    for plugin in found:
        if plugin["problem"]:
            note(f"{plugin['name']}: {plugin['problem']}")


def _row(plugin: dict[str, Any]) -> list[Any]:
    components = plugin["components"]
    kinds = dict.fromkeys(one["kind"] for one in components)
    listed = [
        f"{kind}: {', '.join(one['name'] for one in components if one['kind'] == kind)}"
        for kind in kinds
    ]
    state = "failed" if plugin["problem"] else "disabled" if plugin["disabled"] else "ready"
    return [
        plugin["name"],
        f"{plugin['distribution']} {plugin['version']}".strip() or "given by hand",
        "\n".join(listed),
        sorted({one["modality"] for one in components if one["modality"]}),
        sorted({extra for one in components for extra in one["extras"]}),
        plugin["wraps"],
        state,
    ]


def _print_components(found: list[dict[str, Any]]) -> None:
    rows: list[list[Any]] = [
        [one["kind"], one["name"], plugin["name"], one["modality"], one["extras"], one["summary"]]
        for plugin in found
        for one in plugin["components"]
    ]
    print_table(
        "",
        ["kind", "name", "plugin", "modality", "extras", "what"],
        sorted(rows, key=lambda row: (row[0], row[1])),
    )
