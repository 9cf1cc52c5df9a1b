"""``rankloom plugins``: what is installed, what it brings, and whether it keeps its contracts."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankloom.cli.options import Json
from rankloom.cli.show import emit_json, note, print_table
from rankloom.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from rankloom.testing import CheckResult

__all__ = ["app", "check", "list_plugins"]

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


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="Name in `plugins list`.", show_default=False)],
    example: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND:NAME=YAML",
            help="Settings of a component without defaults; repeat for more.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check every component of a plugin against its contract; exit code 1 if one fails."""
    examples = dict(_example(text) for text in example or ())
    from rankloom.testing import checks_of_plugin, run_check

    planned = list(checks_of_plugin(name, examples))
    _check_examples(examples, {component for component, _, _ in planned})
    results = [run_check(component, what, call) for component, what, call in planned]
    passed = all(result.outcome == "passed" for result in results)
    if json:
        found = [dataclasses.asdict(result) for result in results]
        emit_json({"plugin": name, "passed": passed, "checks": found})
    else:
        _print_checks(name, results)
    if not passed:
        raise typer.Exit(1)


def _example(text: str) -> tuple[str, dict[str, Any]]:
    import yaml

    component, equals, settings = text.partition("=")
    try:
        found = yaml.safe_load(settings) if equals and ":" in component else None
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict):
        raise ConfigError(
            f"--example {text!r} is not of the form KIND:NAME=YAML "
            f"(--example 'encoder:bert={{model: models/minilm}}')."
        )
    return component, found


def _check_examples(examples: Iterable[str], components: set[str]) -> None:
    for wrong in sorted(set(examples) - components):
        raise ConfigError(
            f"--example: the plugin has no component {wrong!r}.{did_you_mean(wrong, components)} "
            f"Components: {', '.join(sorted(components)) or 'none'}."
        )


def _print_checks(name: str, results: list[CheckResult]) -> None:
    """Print a line a component, then what is wrong."""
    if not results:
        typer.echo(f"{name} brings no components: there is nothing to check")
        return
    rows = []
    for component in dict.fromkeys(result.component for result in results):
        counts = Counter(one.outcome for one in results if one.component == component)
        state = "passed" if set(counts) == {"passed"} else "FAILED"
        rows.append([component, counts["passed"], counts["failed"], counts["blocked"], state])
    print_table("", ["component", "passed", "failed", "blocked", "state"], rows)
    wrong = [[one.component, one.check, one.message] for one in results if one.outcome == "failed"]
    if wrong:
        print_table("what is wrong", ["component", "check", "message"], wrong)


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
