"""Every fenced python block of the documentation runs, on a cut of the real data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
USERS = 60


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return [code for found, code in FENCE.findall(text) if found == language]


@pytest.fixture
def small_checkout(tmp_path: Path, ml_small: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder a reader would be in, with fewer users and one epoch."""
    data = tmp_path / "examples" / "data" / "ml-latest-small"
    data.mkdir(parents=True)
    header, *rows = (ml_small / "ratings.csv").read_text(encoding="utf-8").splitlines()
    kept = [row for row in rows if int(row.partition(",")[0]) <= USERS]
    (data / "ratings.csv").write_text("\n".join([header, *kept]) + "\n", encoding="utf-8")
    seen = {row.split(",")[1] for row in kept}
    header, *rows = (ml_small / "movies.csv").read_text(encoding="utf-8").splitlines()
    kept = [row for row in rows if row.partition(",")[0] in seen]
    (data / "movies.csv").write_text("\n".join([header, *kept]) + "\n", encoding="utf-8")
    for example in (ROOT / "examples").glob("*.yaml"):
        config = yaml.safe_load(example.read_text(encoding="utf-8"))
        for model in [*config.get("models", {}).values(), config.get("model")]:
            if model and "training" in model:  # zero-shot models have none
                model["training"]["epochs"] = 1
        (tmp_path / "examples" / example.name).write_text(yaml.safe_dump(config), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run(page: Path, small_checkout: Path) -> None:
    from rankloom.host import reset_host

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
