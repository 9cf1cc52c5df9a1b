"""Commands that a plugin brings, through the real command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rankloom.cli import app

from .cli_running import plugin_file

HEAVY = ("torch", "transformers", "lightning", "polars")
runner = CliRunner()

PLUGIN = '''
from typing import Literal
from rankloom import ComponentConfig, component, hookimpl

class CountConfig(ComponentConfig):
    """Count words of a file."""
    type: Literal["count"] = "count"
    least: int
    """Fewer are not worth it."""
    share: float = 0.5
    """Of the words."""
    loud: bool = False
    """Shout."""
    words: list[str] = []
    """Which words; repeat."""
    order: Literal["up", "down"] = "up"
    """Order of the answer."""
    weights: dict[str, float] = {}
    """By word."""

class OtherConfig(ComponentConfig):
    """Takes a name that is taken."""
    type: Literal["fit"] = "fit"

@hookimpl
def register_commands():
    return [component(CountConfig, "counting_plugin_command:Count"),
            component(OtherConfig, "counting_plugin_command:Count")]
'''
COMMAND = """
import json
from rankloom.errors import DataError

class Count:
    def __init__(self, config, build):
        self.config, self.folder = config, build.base_dir

    def run(self):
        if "bad" in self.config.words:
            raise DataError("words.txt:3: not a word.")
        print(json.dumps({**self.config.model_dump(), "folder": str(self.folder)}))
        return "text" if "odd" in self.config.words else 4 if self.config.loud else None
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "counting_plugin_command.py").write_text(COMMAND)
    with plugin_file(tmp_path, "counting_plugin", PLUGIN) as path:
        yield path
    sys.modules.pop("counting_plugin_command", None)


def test_options_are_the_fields_of_the_config(
    plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(plugin.parent)
    arguments = ["--least", "3", "--loud", "--words", "a", "--words", "b", "--weights", "{a: 2}"]
    done = runner.invoke(app, ["--plugin", str(plugin), "count", *arguments])
    assert done.exit_code == 4, done.output
    assert json.loads(done.stdout) == {
        "type": "count",
        "least": 3,
        "share": 0.5,
        "loud": True,
        "words": ["a", "b"],
        "order": "up",
        "weights": {"a": 2.0},
        "folder": str(plugin.parent),
    }
    assert runner.invoke(app, ["--plugin", str(plugin), "count", "--least", "1"]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        ([], 2, "--least"),
        (["--least", "three"], 2, "rankloom count: --least 'three'"),
        (["--least", "1", "--order", "sideways"], 2, "'up' or 'down'"),
        (["--least", "1", "--words", "bad"], 1, "words.txt:3"),
        (["--least", "1", "--words", "odd"], 2, "return an exit code or None"),
    ],
)
def test_mistakes_are_named(plugin: Path, arguments: list[str], code: int, reason: str) -> None:
    done = runner.invoke(app, ["--plugin", str(plugin), "count", *arguments])
    assert done.exit_code == code, done.output
    assert reason in done.stderr
    assert "Traceback" not in done.output


def test_help_lists_it_under_its_plugin(plugin: Path) -> None:
    done = runner.invoke(app, ["--plugin", str(plugin), "--help"])
    assert done.exit_code == 0
    below = done.stdout.partition("Commands of plugin counting_plugin")[2]
    assert "Count words of a file." in below
    assert "a plugin brings a command 'fit', which rankloom has itself" in done.stderr
    own = runner.invoke(app, ["--plugin", str(plugin), "count", "--help"]).stdout
    assert "Fewer are not worth it." in own
    assert "up|down" in own
    assert "--no-loud" in own


def test_help_with_a_plugin_loads_nothing_heavy(plugin: Path) -> None:
    code = (
        f"import sys; sys.argv = ['rankloom', '--plugin', {str(plugin)!r}, 'count', '--help']\n"
        "from rankloom.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_a_plugin_that_is_not_there(tmp_path: Path) -> None:
    done = runner.invoke(app, ["--plugin", str(tmp_path / "none.py"), "count"])
    assert done.exit_code == 2
    assert "There is no plugin file" in done.stderr
    unknown = runner.invoke(app, ["count"])
    assert unknown.exit_code == 2
    assert "No such command" in unknown.stderr


@pytest.mark.parametrize(
    ("typed", "ours"), [("train", "fit"), ("predict", "recommend"), ("evalute", "evaluate")]
)
def test_names_that_others_have_for_our_commands(typed: str, ours: str) -> None:
    done = runner.invoke(app, [typed, "x.yaml"])
    assert done.exit_code == 2
    assert done.stderr.count("Did you mean") == 1
    assert ours in done.stderr.split("Did you mean")[1]
