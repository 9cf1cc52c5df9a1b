"""The root command group: one clear message an error instead of a traceback."""

from __future__ import annotations

import os
from typing import Any

import typer
from typer.core import TyperGroup

from rankloom.errors import RankloomError

__all__ = ["RankloomGroup"]


class RankloomGroup(TyperGroup):
    """Turns every :class:`RankloomError` into its message and its exit code.

    ``RANKLOOM_DEBUG=1`` lets the traceback through.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
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
