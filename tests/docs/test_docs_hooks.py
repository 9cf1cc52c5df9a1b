"""Every hook has its heading in docs/plugins.md, with its exact arguments, and nothing else has."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from rankloom import errors, hookspecs
from rankloom.components import KINDS


def hooks() -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(function)
        for name, function in inspect.getmembers(hookspecs, inspect.isfunction)
        if hasattr(function, f"{hookspecs.PROJECT}_spec")
    }


def test_every_hook_is_documented_with_its_arguments(repo_root: Path) -> None:
    text = (repo_root / "docs" / "plugins.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^### (\w+\(.*\))$", text, re.MULTILINE))
    expected = {f"{name}({', '.join(signature.parameters)})" for name, signature in hooks().items()}
    assert documented == expected


def test_every_kind_has_a_hook() -> None:
    assert set(hookspecs.HOOK_OF_KIND) == set(KINDS)
    assert set(hookspecs.HOOK_OF_KIND.values()) <= set(hooks())


def test_every_error_is_documented_with_its_exit_code(repo_root: Path) -> None:
    text = (repo_root / "docs" / "errors.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (\d) \|$", text, re.MULTILINE))
    defined = {
        name: str(kind.exit_code)
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.RankloomError) and kind is not errors.RankloomError
    }
    assert rows == defined
