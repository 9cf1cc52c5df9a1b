"""Runs the command line in this process."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from rankloom.cli import app

__all__ = ["answer", "invoke", "runner"]

runner = CliRunner()


def invoke(*arguments: object, code: int = 0) -> Any:
    """Run a command that must end with an exit code."""
    done = runner.invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == code, (done.output, done.exception)
    return done


def answer(*arguments: object) -> Any:
    """Return what a command answers with --json."""
    return json.loads(invoke(*arguments, "--json").stdout)
