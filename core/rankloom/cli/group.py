"""The root command group: plugins' commands, and one clear message an error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from rankloom.errors import RankloomError

__all__ = ["RankloomGroup"]

#: What other libraries call our commands; the nearest spelling would name another one.
_ELSEWHERE = {
    "train": "fit",
    "run": "fit",
    "eval": "evaluate",
    "test": "evaluate",
    "predict": "recommend",
    "rank": "recommend",
}


class RankloomGroup(TyperGroup):
    """Turns every :class:`RankloomError` into its message and its exit code.

    ``RANKLOOM_DEBUG=1`` lets the traceback through. Commands of plugins are looked for when help is
    asked for or a command is not one of our own; ours keep their names.
    """

    _mounted = False

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the root's options; a wrong ``--plugin`` is found here."""
        with _reported():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        with _reported():
            return super().invoke(ctx)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return our own commands, then those of plugins."""
        self._mount()
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; plugins are asked only for what is not our own."""
        if cmd_name not in self.commands:
            self._mount()
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that was typed; names that others have for ours are told."""
        name = args[0] if args else ""
        if name in _ELSEWHERE and self.get_command(ctx, name) is None:
            ctx.fail(f"No such command {name!r}. Did you mean {_ELSEWHERE[name]!r}?")
        return super().resolve_command(ctx, args)

    def _mount(self) -> None:
        if self._mounted:
            return
        self._mounted = True
        from rankloom.cli.commands import plugin_commands

        for name, command in plugin_commands().items():
            if name in self.commands:
                typer.echo(
                    f"note: a plugin brings a command {name!r}, which rankloom has itself; "
                    f"it cannot be reached until the plugin renames it",
                    err=True,
                )
            else:
                self.commands[name] = command


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except RankloomError as error:
        if os.environ.get("RANKLOOM_DEBUG") == "1":
            raise
        typer.secho(f"{_label(error)}: ", fg="red", bold=True, nl=False, err=True)
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error


def _label(error: RankloomError) -> str:
    """Return what kind of error it is, in words: ``ConfigError`` is "Config error"."""
    name = type(error).__name__
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in name).strip()
    return words.capitalize() if words.endswith("error") else "Error"
