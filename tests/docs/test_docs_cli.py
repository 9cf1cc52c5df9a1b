"""Every ``rankloom`` command line in the documentation names a command and options that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from rankloom.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def command_lines(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = re.findall(r"^rankloom .*$", text, re.MULTILINE)
    inline = re.findall(r"`(rankloom [^`]*)`", text)
    return [re.split(r"\s+#|\.\.\.", line)[0].strip() for line in [*fenced, *inline]]


def check(line: str) -> None:
    command: Any = get_command(app)
    command.list_commands(None)  # which finds those of plugins too
    words = shlex.split(line)[1:]
    known = {name for parameter in command.params for name in parameter.opts}
    rest = iter(words)
    for word in rest:
        if word.startswith("-"):
            assert word in known | {"--help"}, f"{line}: no option {word}"
            parameter = next((p for p in command.params if word in p.opts), None)
            if parameter is not None and not getattr(parameter, "is_flag", False):
                next(rest, None)
        elif hasattr(command, "commands"):
            assert word in command.commands, f"{line}: no command {word}"
            command = command.commands[word]
            known = {
                name
                for parameter in command.params
                for name in [*parameter.opts, *parameter.secondary_opts]
            }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_command_lines_exist(page: Path) -> None:
    for line in command_lines(page):
        check(line)


def test_readme_names_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    quickstart = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    commands: Any = get_command(app)
    commands.list_commands(None)
    missing = [
        name
        for name in commands.commands
        if f"rankloom {name}" not in text + quickstart and name not in {"demo", "expand", "schema"}
    ]
    assert missing == []
