"""The typer application; commands live in modules beside this one and import lazily."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankloom.cli import configs, data, demo, init, plugins, runs, serve_once, train
from rankloom.cli.group import RankloomGroup

__all__ = ["app", "main"]

app = typer.Typer(
    name="rankloom",
    cls=RankloomGroup,
    help="Recommenders composed from plugins: one YAML file to real recommendations.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from rankloom import __version__

        typer.echo(f"rankloom {__version__}")
        raise typer.Exit


def _add_plugins(files: list[Path] | None) -> list[Path] | None:
    """Load plugin files before commands are looked up, since they may bring some."""
    if files:
        from rankloom.host import add_plugin_file

        for path in files:
            add_plugin_file(path)
    return files


@app.callback()
def root(
    plugin: Annotated[
        list[Path] | None,
        typer.Option(
            "--plugin",
            metavar="FILE.py",
            callback=_add_plugins,
            is_eager=True,
            help="Load a plugin from a file; repeat for more.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Recommenders composed from plugins: one YAML file to real recommendations."""


app.command()(demo.demo)
app.command()(init.init)
app.command()(configs.validate)
app.command()(configs.expand)
app.command()(configs.schema)
app.add_typer(data.app, name="data")
app.command()(train.fit)
app.command()(train.evaluate)
app.command()(serve_once.recommend)
app.command()(serve_once.similar)
app.add_typer(runs.app, name="runs")
app.add_typer(plugins.app, name="plugins")


def main() -> None:
    """Run ``rankloom``."""
    app()
