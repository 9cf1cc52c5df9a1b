"""``runs list``, ``runs compare``, and how run directories and bundles are found."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from rankloom.cli import app
from rankloom.cli.paths import bundle_of, claim, new_run_dir, run_dirs, unfinished_run
from rankloom.cli.runs import flatten
from rankloom.errors import BundleError, ConfigError

runner = CliRunner()


def make_run(root: Path, name: str, age: int, ndcg: float | None, **config: object) -> Path:
    run = root / name
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(yaml.safe_dump({"name": name.split("-")[0], **config}))
    os.utime(run / "config.yaml", (1_700_000_000 - age, 1_700_000_000 - age))
    (run / "log.jsonl").write_text("")
    if ndcg is not None:
        (run / "bundle").mkdir()
        rows = [{"name": "hybrid", "n": 5, "metrics": {"ndcg@10": ndcg}}]
        metrics = {"seconds": 3.5, "test": {"rows": rows, "headline": "ndcg@10"}}
        (run / "metrics.json").write_text(json.dumps(metrics))
    return run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    make_run(root, "films-a", 30, 0.25, seed=1, models={"m": {"dim": 32}})
    make_run(root, "films-b", 20, 0.5, seed=1, models={"m": {"dim": 64}})
    make_run(root, "films-c", 10, None, seed=1)
    return root


def test_list_is_oldest_first_with_state(runs: Path) -> None:
    done = runner.invoke(app, ["runs", "list", str(runs), "--json"])
    assert done.exit_code == 0
    rows = json.loads(done.stdout)
    assert [row["run"] for row in rows] == ["films-a", "films-b", "films-c"]
    assert [row["state"] for row in rows] == ["fitted", "fitted", "unfinished"]
    assert "0.5000" in rows[1]["headline"]
    table = runner.invoke(app, ["runs", "list", str(runs)]).stdout
    assert "films-c" in table
    assert "unfinished" in table


def test_compare_shows_metrics_and_only_the_keys_that_differ(runs: Path) -> None:
    arguments = ["runs", "compare", str(runs), "--run", "films-a", "--run", "films-b"]
    found = json.loads(runner.invoke(app, [*arguments, "--json"]).stdout)
    assert found["metrics"]["films-b"]["test hybrid ndcg@10"] == 0.5
    assert found["config"] == {"films-a": {"models.m.dim": 32}, "films-b": {"models.m.dim": 64}}
    table = runner.invoke(app, arguments).stdout
    assert "models.m.dim" in table
    assert "0.2500" in table


def test_unknown_run_and_missing_folder_are_named(runs: Path, tmp_path: Path) -> None:
    unknown = runner.invoke(app, ["runs", "compare", str(runs), "--run", "films-z"])
    assert unknown.exit_code == 2
    assert "films-z" in unknown.stderr
    assert "films-a" in unknown.stderr
    missing = runner.invoke(app, ["runs", "list", str(tmp_path / "nowhere")])
    assert missing.exit_code == 2
    assert "nowhere" in missing.stderr


def test_a_damaged_run_hides_no_other(runs: Path) -> None:
    (runs / "films-a" / "metrics.json").write_text("{")
    done = runner.invoke(app, ["runs", "list", str(runs), "--json"])
    assert [row["state"] for row in json.loads(done.stdout)] == ["damaged", "fitted", "unfinished"]
    assert "films-a" in json.loads(done.stdout)[0]["headline"]


def test_a_run_of_ratings_shows_its_error(runs: Path) -> None:
    ratings = {"n": 9, "rmse": 0.9, "rmse_low": 0.8, "rmse_high": 1.0}
    report = {"rows": [], "ratings": ratings, "headline": "ndcg@10"}
    (runs / "films-b" / "metrics.json").write_text(json.dumps({"test": report}))
    done = runner.invoke(app, ["runs", "list", str(runs), "--json"])
    assert json.loads(done.stdout)[1]["headline"] == "test rmse 0.9000"


def test_claiming_a_run_directory(tmp_path: Path) -> None:
    run = tmp_path / "run"
    claim(run, "name: a\n", fresh=False)
    claim(run, "name: a\n", fresh=False)  # goes on
    with pytest.raises(ConfigError, match="another config"):
        claim(run, "name: b\n", fresh=False)
    (run / "bundle").mkdir()
    with pytest.raises(ConfigError, match="finished run"):
        claim(run, "name: a\n", fresh=False)
    (run / "mine.txt").write_text("kept")
    claim(run, "name: b\n", fresh=True)
    assert sorted(path.name for path in run.iterdir()) == ["config.yaml", "mine.txt"]
    assert (run / "config.yaml").read_text() == "name: b\n"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("a")
    with pytest.raises(ConfigError, match="no run"):
        claim(tmp_path / "other", "name: a\n", fresh=True)
    with pytest.raises(ConfigError, match="is a file"):
        claim(tmp_path / "other" / "a.txt", "name: a\n", fresh=False)


def test_bundle_of_run_bundle_and_neither(runs: Path, tmp_path: Path) -> None:
    assert bundle_of(runs / "films-a") == runs / "films-a" / "bundle"
    assert bundle_of(runs / "films-a" / "bundle") == runs / "films-a" / "bundle"
    with pytest.raises(BundleError, match="has not finished"):
        bundle_of(runs / "films-c")
    with pytest.raises(ConfigError, match="is not a folder"):
        bundle_of(tmp_path / "nowhere")


def test_new_run_dirs_never_collide(tmp_path: Path) -> None:
    now = datetime(2025, 1, 31, 12, tzinfo=UTC)
    first = new_run_dir("films", now, tmp_path)
    assert first.name == "films-20250131-120000"
    first.mkdir()
    assert new_run_dir("films", now, tmp_path) != first


def test_resume_finds_the_newest_unfinished_run_of_the_name(runs: Path) -> None:
    found = unfinished_run("films", runs)
    assert found is not None
    assert found.name == "films-c"
    assert unfinished_run("film", runs) is None
    assert run_dirs(runs / "nothing") == []


def test_flatten_keeps_lists_whole() -> None:
    nested = {"a": {"b": 1, "c": {"d": None}}, "list": [1, {"x": 2}]}
    assert flatten(nested) == {"a.b": 1, "a.c.d": None, "list": [1, {"x": 2}]}
