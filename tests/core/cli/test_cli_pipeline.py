"""The commands on a small table, through the real pipeline."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from rankloom.cli import app
from rankloom.host import reset_host

from .cli_running import answer, invoke, plugin_file, runner


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli")
    draw = random.Random(1)
    rows = [
        f"{user},{item},{draw.choice([3, 4, 5])},{1_000_000 + place * 1000 + user}"
        for user in range(30)
        for place, item in enumerate(draw.sample(range(40), 12))
    ]
    header = "userId,movieId,rating,timestamp"
    (path / "ratings.csv").write_text("\n".join([header, *rows]) + "\n")
    kinds = ("Action", "Comedy", "Sci-Fi")
    films = [f"{n},Film {n},{kinds[n % 3]}|{kinds[(n + 1) % 3]},{1950 + n}" for n in range(40)]
    (path / "items.csv").write_text("\n".join(["movieId,title,genres,year", *films]) + "\n")
    return path


@pytest.fixture(scope="module")
def config(folder: Path) -> Path:
    path = folder / "ease.yaml"
    source = {"type": "tables", "interactions": "ratings.csv", "items": "items.csv"}
    path.write_text(yaml.safe_dump({"name": "small", "data": {"source": source}, "scorer": "ease"}))
    return path


@pytest.fixture(scope="module")
def run(folder: Path, config: Path) -> Path:
    path = folder / "runs" / "first"
    assert answer("fit", config, "--run-dir", path)["run"] == str(path)
    return path


def test_init_writes_a_file_that_is_valid_and_commented(folder: Path) -> None:
    out = folder / "pipeline.yaml"
    invoke("init", folder / "ratings.csv", "--items", folder / "items.csv", "--out", out)
    text = out.read_text()
    assert text.count("#") > 5
    written = yaml.safe_load(text)["data"]
    assert written["source"]["columns"] == {
        "user": "userId",
        "item": "movieId",
        "value": "rating",
        "time": "timestamp",
    }
    assert written["source"]["item_fields"]["genres"] == {"type": "category", "multiple": True}
    assert written["positive"] == {"min_value": 4}
    assert answer("validate", out) == {"valid": True, "name": "ratings", "file": str(out)}
    assert "--force" in invoke("init", folder / "ratings.csv", "--out", out, code=2).stderr


def test_init_without_times_asks_for_a_random_split(folder: Path, tmp_path: Path) -> None:
    pl.read_csv(folder / "ratings.csv").drop("timestamp").write_csv(tmp_path / "log.csv")
    out = tmp_path / "pipeline.yaml"
    done = invoke("init", tmp_path / "log.csv", "--out", out)
    assert "no column of times" in done.stderr
    assert yaml.safe_load(out.read_text())["data"]["split"] == {"type": "random"}
    invoke("validate", out)


def test_mistakes_in_a_file_are_named_with_their_line(folder: Path) -> None:
    bad = folder / "bad.yaml"
    bad.write_text("name: bad\nscorrer: ease\n")
    done = invoke("validate", bad, code=2)
    assert "bad.yaml:2" in done.stderr
    assert "scorer" in done.stderr
    assert "Traceback" not in done.output
    assert "nowhere.yaml" in invoke("validate", folder / "nowhere.yaml", code=2).stderr


def test_expand_loads_to_the_same_and_takes_overrides(config: Path) -> None:
    text = invoke("expand", config, "--set", "seed=11").stdout
    assert yaml.safe_load(text) == answer("expand", config, "--set", "seed=11")
    assert yaml.safe_load(text)["seed"] == 11
    assert "seed" in invoke("expand", config, "--set", "seed", code=2).stderr


def test_schema_accepts_the_examples(repo_root: Path, tmp_path: Path) -> None:
    import jsonschema

    out = tmp_path / "schema.json"
    invoke("schema", "--out", out)
    schema = json.loads(out.read_text())
    for example in sorted((repo_root / "examples").glob("*.yaml")):
        jsonschema.validate(yaml.safe_load(example.read_text()), schema)


def test_describe_counts_what_is_there(config: Path) -> None:
    sizes = answer("data", "describe", config)["sizes"]
    assert (sizes["users"], sizes["items"], sizes["interactions"]) == (30, 40, 360)
    assert "positives" in invoke("data", "describe", config).stdout


def test_fit_writes_the_run_directory(run: Path) -> None:
    for name in ("config.yaml", "log.jsonl", "metrics.json", "bundle/manifest.json"):
        assert (run / name).is_file()
    assert [row["run"] for row in answer("runs", "list", run.parent)] == ["first"]


def test_dry_run_keeps_nothing(folder: Path, config: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(folder)
    before = sorted((folder / "runs").glob("*")) if (folder / "runs").exists() else []
    assert answer("fit", config, "--dry-run")["run"] is None
    assert sorted((folder / "runs").glob("*")) == before


SILENT = """
from typing import Literal
from rankloom import ComponentConfig, component, hookimpl

class SilentConfig(ComponentConfig):
    \"\"\"Decides nothing.\"\"\"
    type: Literal["silent"] = "silent"

class Silent:
    def __init__(self, config, build): ...

    def decide(self, scored, k, guards, generator):
        return None

@hookimpl
def register_policies():
    return [component(SilentConfig, "plugin_silent:Silent")]
"""


def test_dry_run_asks_the_policy_too(config: Path, tmp_path: Path) -> None:
    """Evaluation is greedy: a policy would not be met before it serves."""
    with plugin_file(tmp_path, "plugin_silent", SILENT) as path:
        done = invoke(
            "--plugin", path, "fit", config, "--dry-run", "--set", "policy=silent", code=2
        )
    assert "plugin_silent.Silent.decide returned NoneType" in done.stderr


def test_evaluate_prints_and_keeps_the_report(run: Path) -> None:
    report = answer("evaluate", run)
    assert {"popularity", "ease", "markov"} <= {row["name"] for row in report["rows"]}
    metrics = answer("runs", "compare", run.parent)["metrics"]["first"]
    assert metrics["test ease ndcg@10"] == pytest.approx(
        next(r["metrics"]["ndcg@10"] for r in report["rows"] if r["name"] == "ease")
    )
    assert invoke("evaluate", run, "--phase", "tset", code=2)


def test_recommend_excludes_what_was_seen_and_takes_histories(run: Path, folder: Path) -> None:
    items = answer("recommend", run, "--user", 3, "-k", 5)["items"]
    log = pl.read_csv(folder / "ratings.csv").filter(pl.col("userId") == 3)
    assert len(items) == 5
    assert not {row["item"] for row in items} & set(log["movieId"].cast(pl.String))
    given = answer("recommend", run, "--history", "1,2", "-k", 3)["items"]
    assert not {row["item"] for row in given} & {"1", "2"}
    assert "Film" in invoke("recommend", run, "--user", 3).stdout


def test_more_than_the_catalog_says_how_many_there_are(run: Path) -> None:
    done = invoke("recommend", run, "--user", 3, "-k", 1000)
    assert "of 1000 asked for" in done.stderr


@pytest.mark.parametrize("suffix", ["parquet", "csv", "json"])
def test_all_users_into_a_file(run: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / "deep" / f"slates.{suffix}"
    found = answer("recommend", run, "--users", "all", "--out", out, "-k", 2)
    assert found["rows"] == 60
    assert len(getattr(pl, f"read_{suffix}")(out)) == 60


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--user", "nobody"], "nobody"),
        (["--history", "1,777"], "777"),
        ([], "Nobody to recommend for"),
        (["--users", "all"], "--out"),
        (["--users", "all", "--out", "x.xlsx"], ".parquet"),
        (["--users", "all", "--user", "3", "--out", "x.csv"], "--users"),
        (["--out", "x.csv", "--user", "3"], "--users all"),
        (["--user", "3", "--field", "age"], "NAME=VALUE"),
        (["--text", "robots"], "text"),
    ],
)
def test_requests_that_cannot_be_understood(run: Path, arguments: list[str], reason: str) -> None:
    done = invoke("recommend", run, *arguments, code=2)
    assert reason in done.stderr
    assert "Traceback" not in done.output


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    assert "Bundle error" in invoke("recommend", tmp_path, "--user", 3, code=1).stderr


def test_debug_shows_the_error_itself(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rankloom.errors import ConfigError

    monkeypatch.setenv("RANKLOOM_DEBUG", "1")
    done = runner.invoke(app, ["validate", str(config.with_name("nowhere.yaml"))])
    assert isinstance(done.exception, ConfigError)


def test_plugin_file_brings_its_component(tmp_path: Path) -> None:

    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from typing import Literal\n"
        "from rankloom import ComponentConfig, component, hookimpl\n"
        "class MineConfig(ComponentConfig):\n"
        '    """Mine."""\n'
        '    type: Literal["mine"] = "mine"\n'
        "@hookimpl\n"
        "def register_scorers():\n"
        '    return [component(MineConfig, "mine:Mine")]\n'
    )
    try:
        found = answer("--plugin", plugin, "plugins", "list")
        assert "mine" in {one["name"] for entry in found for one in entry["components"]}
        assert "mine" in invoke("plugins", "list", "--components").stdout
    finally:
        reset_host()
