"""Runs the command line in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from rankloom.cli import app
from rankloom.host import reset_host

__all__ = ["answer", "invoke", "plugin_file", "runner"]

runner = CliRunner()


def invoke(*arguments: object, code: int = 0) -> Any:
    """Run a command that must end with an exit code."""
    done = runner.invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == code, (done.output, done.exception)
    return done


def answer(*arguments: object) -> Any:
    """Return what a command answers with --json."""
    return json.loads(invoke(*arguments, "--json").stdout)


@contextmanager
def plugin_file(folder: Path, name: str, text: str) -> Iterator[Path]:
    """Write a plugin of one file; forget it afterwards, as if it had never been given."""
    path = folder / f"{name}.py"
    path.write_text(text)
    try:
        yield path
    finally:
        reset_host()
        sys.path[:] = [entry for entry in sys.path if entry != str(folder)]
        sys.modules.pop(name, None)
