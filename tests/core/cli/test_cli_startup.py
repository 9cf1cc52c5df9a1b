"""The command line starts without heavy libraries and about as fast as typer itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "lightning", "polars", "pyarrow", "scipy")
BARE = """
import typer
from pydantic import BaseModel

class Settings(BaseModel):
    path: str = "x"

app = typer.Typer(help="bare")

@app.callback()
def root(): "Root."

@app.command()
def one(path: str = "x"): "One."

app()
"""
OURS = "import sys; sys.argv[0] = 'rankloom'; from rankloom.cli import main; main()"


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
    )


@pytest.mark.parametrize("arguments", [["--help"], ["plugins", "list"], ["fit", "--help"]])
def test_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['rankloom', *{arguments!r}]\n"
        "from rankloom.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_help_takes_at_most_twice_a_bare_typer_program(tmp_path: Path) -> None:
    def fastest(code: str) -> float:
        best = float("inf")
        for _ in range(3):
            started = time.perf_counter()
            assert run(code, "--help").returncode == 0
            best = min(best, time.perf_counter() - started)
        return best

    assert fastest(OURS) <= 2 * fastest(BARE)


def test_usage_errors_exit_with_two() -> None:
    assert run(OURS, "nonsense").returncode == 2
    assert run(OURS, "fit").returncode == 2
    suggested = run(OURS, "evalute")
    assert suggested.returncode == 2
    assert "evaluate" in suggested.stderr


def test_version() -> None:
    import rankloom

    assert run(OURS, "--version").stdout.strip() == f"rankloom {rankloom.__version__}"
