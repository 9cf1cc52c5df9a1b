"""A fit that is cut short, started from another, tried out; and what each command prints."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from .cli_running import answer, invoke

EPOCHS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fitting")
    draw = random.Random(2)
    rows = [
        f"{user},{item},{1_000_000 + place * 1000 + user}"
        for user in range(40)
        for place, item in enumerate(draw.sample(range(50), 15))
    ]
    (path / "log.csv").write_text("\n".join(["user,item,time", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def config(folder: Path) -> Path:
    model = {
        "items": {"encoders": {"id": {"type": "embedding", "dim": 8}}},
        "queries": {"encoders": {"history": "history_mean"}},
        "tasks": ["softmax"],
        "training": {"epochs": EPOCHS, "batch_size": 64},
    }
    source = {"type": "tables", "interactions": "log.csv"}
    path = folder / "seq.yaml"
    content = {"name": "seq", "data": {"source": source}, "model": model}
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def run(config: Path) -> Path:
    path = config.parent / "runs" / "whole"
    invoke("fit", config, "--run-dir", path)
    return path


def start(config: Path, run: Path) -> subprocess.Popen[bytes]:
    """Start a long fit in a process of its own."""
    arguments = ["fit", str(config), "--run-dir", str(run), "--json"]
    code = (
        f"import sys; sys.argv = ['rankloom', *{arguments!r}]; import rankloom.cli as c; c.main()"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_an_interrupted_fit_goes_on_where_it_was(config: Path, folder: Path) -> None:
    run = folder / "runs" / "cut"
    endless = folder / "endless.yaml"
    endless.write_text(config.read_text().replace(f"epochs: {EPOCHS}", "epochs: 80"))
    process = start(endless, run)
    try:
        deadline = time.monotonic() + 60
        while not list(run.glob("checkpoints/*/fit/*/last.ckpt")):
            assert process.poll() is None, "the fit ended by itself"
            assert time.monotonic() < deadline, "no checkpoint"
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (run / "bundle").exists()
    assert answer("runs", "list", run.parent)[-1]["state"] == "unfinished"
    unfinished = invoke("recommend", run, "--user", 3, code=1)
    assert f"Go on with `rankloom fit CONFIG --run-dir {run}`" in unfinished.stderr

    kept = next(run.glob("checkpoints/*/fit/*/last.ckpt"))
    before = kept.stat().st_mtime_ns
    found = answer("fit", endless, "--run-dir", run)
    assert found["fit"]["resumed"] == ["model"]
    assert found["fit"]["models"]["model"]["trained"] > 1
    assert kept.stat().st_mtime_ns > before
    assert len(answer("recommend", run, "--user", 3)["items"]) == 10


def test_the_log_has_a_line_for_every_epoch(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    epochs = [line for line in lines if line["event"] == "epoch"]
    assert [line["event"] for line in (lines[0], lines[-1])] == ["start", "fit"]
    assert [line["epoch"] for line in epochs] == list(range(1, EPOCHS + 1))
    assert {"model", "phase", "loss", "ndcg@10", "time"} <= epochs[0].keys()


def test_a_fit_that_is_over_is_not_resumed_with_other_settings(config: Path, run: Path) -> None:
    other = answer("fit", config, "--run-dir", run.with_name("other"), "--set", "seed=3")
    assert other["fit"]["resumed"] == []


def test_fresh_starts_anew(config: Path, run: Path, tmp_path: Path) -> None:
    own = tmp_path / "run"
    first = answer("fit", config, "--run-dir", own)
    again = answer("fit", config, "--run-dir", own, "--fresh")
    assert (first["fit"]["resumed"], again["fit"]["resumed"]) == ([], [])
    assert again["fit"]["models"] == first["fit"]["models"]


def test_a_fit_starts_from_another(config: Path, run: Path, tmp_path: Path) -> None:
    from rankloom import Pipeline

    settings = ["--set", "models.model.training.epochs=1"]
    settings += ["--set", "models.model.training.learning_rate=1e-9"]
    before = Pipeline.load(run / "bundle").recommend("3", request_id="a")
    invoke("fit", config, "--run-dir", tmp_path / "next", "--from", run, *settings)
    after = Pipeline.load(tmp_path / "next" / "bundle").recommend("3", request_id="a")
    assert after.items == before.items
    assert after.scores == pytest.approx(before.scores, abs=1e-4)
    wrong = invoke("fit", config, "--from", tmp_path / "none", "--run-dir", tmp_path / "x", code=2)
    assert "is not a folder" in wrong.stderr
    own = tmp_path / "next"
    cleared = invoke("fit", config, "--from", own, "--run-dir", own, "--fresh", code=2)
    assert "lies in the run directory" in cleared.stderr
    assert (own / "bundle").is_dir()


def test_dry_run_goes_through_every_stage(config: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    found = answer("fit", config, "--dry-run")
    assert (found["run"], found["dry_run"]) == (None, True)
    assert found["users"] == 40
    assert found["fit"]["models"]["model"]["trained"] == 1
    assert list(tmp_path.iterdir()) == []
    assert "dry run: every stage passed" in invoke("fit", config, "--dry-run").stderr


def test_overrides_reach_the_run(config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    changes = ["--set", "models.model.training.epochs=1", "--set", "policy=greedy"]
    found = answer("fit", config, "--run-dir", run, "--set", "scorer=ease", *changes)
    assert found["scorer"] == "ease"
    kept = yaml.safe_load((run / "config.yaml").read_text())
    assert kept["models"]["model"]["training"]["epochs"] == 1
    wrong = invoke("fit", config, "--set", "models.model.trainning.epochs=1", code=2)
    assert "Did you mean 'training'?" in wrong.stderr
    assert invoke("fit", config, "--set", "seed=many", code=2).stderr.startswith("Config error")


def test_json_of_every_command(config: Path, run: Path, folder: Path) -> None:
    report = answer("evaluate", run)
    assert report["rows"][0]["metrics"].keys() >= {"ndcg@10"}
    slate = answer("recommend", run, "--user", 3, "-k", 4)
    assert [row["rank"] for row in slate["items"]] == [1, 2, 3, 4]
    assert slate["trace"]["candidates"] == 50
    near = answer("similar", run, slate["items"][0]["item"], "-k", 3)
    assert len(near["items"]) == 3
    assert answer("data", "describe", config)["sizes"]["users"] == 40
    assert any(plugin["name"] == "collaborative" for plugin in answer("plugins", "list"))
    assert "whole" in {row["run"] for row in answer("runs", "list", folder / "runs")}
    compared = answer("runs", "compare", folder / "runs", "--run", "whole")
    assert "fit seconds" in compared["metrics"]["whole"]


def test_everyone_into_a_file(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "slates.parquet"
    done = invoke("recommend", run, "--users", "all", "--out", out, "-k", 3)
    assert f"120 rows in {out}" in done.stderr
    frame = pl.read_parquet(out)
    assert frame.columns == ["user", "rank", "item", "score", "log_prob"]
    own = frame.filter(pl.col("user") == "7")["item"].to_list()
    assert own == [row["item"] for row in answer("recommend", run, "--user", 7, "-k", 3)["items"]]


def test_exit_codes(config: Path, run: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("user,item,time\n")
    broken = tmp_path / "broken.yaml"
    broken.write_text(config.read_text().replace("log.csv", "empty.csv"))
    for code, arguments in [
        (0, ["evaluate", run, "--phase", "validation"]),
        (1, ["fit", broken, "--run-dir", tmp_path / "run"]),
        (1, ["evaluate", tmp_path]),
        (2, ["runs", "compare", folder / "nowhere"]),
        (2, ["fit", tmp_path / "nowhere.yaml"]),
        (2, ["recommend", run, "--user", "nobody"]),
        (2, ["recommend", run, "--user", 3, "-k", 0]),
        (2, ["similar", run]),
    ]:
        assert "Traceback" not in invoke(*arguments, code=code).output


def test_a_run_answers_from_any_folder(run: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert answer("recommend", run, "--user", 3)["items"]
    assert answer("evaluate", run)["rows"]
    assert answer("recommend", run, "--user", 3, "--base-dir", run.parent)["items"]
    assert list(tmp_path.iterdir()) == []
