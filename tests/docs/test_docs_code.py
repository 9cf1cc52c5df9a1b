"""Every fenced python block of the documentation runs, on a cut of the real data."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return [code for found, code in FENCE.findall(text) if found == language]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run(page: Path, small_checkout: Callable[[int], Path]) -> None:
    from rankloom.host import reset_host

    small_checkout(1)
    namespace: dict[str, object] = {"__name__": "documentation"}
    try:
        for number, code in enumerate(blocks(page, "python"), start=1):
            exec(compile(code, f"{page.name} block {number}", "exec", dont_inherit=True), namespace)
    finally:
        reset_host()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_yaml_and_toml_blocks_parse(page: Path) -> None:
    import tomllib

    for code in blocks(page, "yaml"):
        assert yaml.safe_load(code)
    for code in blocks(page, "toml"):
        assert tomllib.loads(code)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
