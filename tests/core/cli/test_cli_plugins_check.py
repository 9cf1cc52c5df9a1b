"""``rankloom plugins check``: built-in, third-party and broken plugins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rankloom.host import reset_host

from .cli_running import invoke, plugin_file

BROKEN = '''
from typing import Literal
from rankloom import ComponentConfig, component, hookimpl

class BrokenConfig(ComponentConfig):
    """Wrong in several ways."""
    type: Literal["broken"] = "broken"
    power: float = 1.0

class Broken:
    def __init__(self, config, build):
        self.calls = 0

    def score(self, queries, candidates):
        import torch
        from rankloom.protocols import Scores
        self.calls += 1
        return Scores(torch.full((len(queries), candidates.width), float(self.calls)))

@hookimpl
def register_scorers():
    return [component(BrokenConfig, "plugin_that_breaks:Broken")]
'''


@pytest.fixture(autouse=True)
def _fresh_host() -> Iterator[None]:
    yield
    reset_host()


def test_a_builtin_passes() -> None:
    found = json.loads(invoke("plugins", "check", "guards", "--json", code=0).stdout)
    assert (found["plugin"], found["passed"]) == ("guards", True)
    assert {one["outcome"] for one in found["checks"]} == {"passed"}
    assert "guard:seen" in invoke("plugins", "check", "guards", code=0).stdout


def test_the_example_package_passes() -> None:
    table = invoke("plugins", "check", "acme", code=0).stdout
    assert "encoder:acme.trigrams" in table
    assert "scorer:acme.cosine" in table
    assert "FAILED" not in table


def test_what_is_wrong_is_listed(tmp_path: Path) -> None:
    with plugin_file(tmp_path, "plugin_that_breaks", BROKEN) as path:
        done = invoke("--plugin", path, "plugins", "check", "plugin_that_breaks", code=1)
        again = ["--plugin", path, "plugins", "check", "plugin_that_breaks", "--json"]
        found = json.loads(invoke(*again, code=1).stdout)
    assert "FAILED" in done.stdout
    assert any("docstring" in str(one) and "power" in str(one) for one in found["checks"])
    failed = {one["check"] for one in found["checks"] if one["outcome"] == "failed"}
    assert {"check_config_described", "check_deterministic"} <= failed
    assert not found["passed"]


SINGLE = '''
from typing import Literal
import torch
from rankloom import ComponentConfig, component, hookimpl
from rankloom.protocols import Scores

class FlatConfig(ComponentConfig):
    """All alike."""
    type: Literal["flat"] = "flat"

class Flat:
    def __init__(self, config, build): ...

    def score(self, queries, candidates):
        return Scores(torch.zeros(len(queries), candidates.width))

@hookimpl
def register_scorers():
    return [component(FlatConfig, "plugin_in_one_file:Flat")]
'''


def test_a_single_file_may_hold_its_implementation(tmp_path: Path) -> None:
    with plugin_file(tmp_path, "plugin_in_one_file", SINGLE) as path:
        done = invoke("--plugin", path, "plugins", "check", "plugin_in_one_file", "--json", code=0)
    assert json.loads(done.stdout)["passed"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["guard"], "Did you mean 'guards'?"),
        (["guards", "--example", "seen"], "KIND:NAME=YAML"),
        (["guards", "--example", "guard:sen={}"], "Did you mean 'guard:seen'?"),
    ],
)
def test_what_cannot_be_checked(arguments: list[str], reason: str) -> None:
    assert reason in invoke("plugins", "check", *arguments, code=2).stderr
