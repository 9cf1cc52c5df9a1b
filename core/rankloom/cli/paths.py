"""Run directories and bundles on disk."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

from rankloom.errors import BundleError, ConfigError

__all__ = [
    "RUNS",
    "bundle_of",
    "claim",
    "is_finished",
    "new_run_dir",
    "run_dirs",
    "unfinished_run",
]

#: Where runs go, below the current folder.
RUNS = Path("runs")


def bundle_of(path: Path) -> Path:
    """Return the bundle of a run directory, or the path itself where it is a bundle.

    Raises:
        ConfigError: There is no such folder.
        BundleError: Its fit has not finished.
    """
    if not path.is_dir():
        near = ", ".join(str(run) for run in run_dirs(RUNS)[-3:])
        hint = f" Runs here: {near}." if near else ""
        raise ConfigError(
            f"{path} is not a folder. Give the run directory or the bundle that "
            f"`rankloom fit` wrote.{hint}"
        )
    if (path / "bundle").is_dir():
        return path / "bundle"
    if (path / "config.yaml").is_file() and not (path / "manifest.json").is_file():
        raise BundleError(
            f"{path} is a run without a bundle: its fit has not finished. Go on with "
            f"`rankloom fit CONFIG --run-dir {path}`."
        )
    return path


def run_dirs(root: Path) -> list[Path]:
    """Return the run directories below ``root``, oldest first."""
    if not root.is_dir():
        return []
    found = [path.parent for path in root.glob("*/config.yaml")]
    return sorted(found, key=lambda run: ((run / "config.yaml").stat().st_mtime, run.name))


def claim(run: Path, config: str, fresh: bool) -> None:
    """Make a run directory for a config, or go on in one that was made for the same config.

    Args:
        run: The directory.
        config: The expanded config, as the run keeps it.
        fresh: Clear an earlier run away first, finished or not.

    Raises:
        ConfigError: The path is a file, holds something else than a run, or holds a run that is
            finished or was made for another config.
    """
    if run.exists() and not run.is_dir():
        raise ConfigError(f"{run} is a file; --run-dir names a folder.")
    kept = run / "config.yaml"
    if not kept.is_file() and run.is_dir() and any(run.iterdir()):
        raise ConfigError(f"{run} is not empty and no run. Choose another --run-dir.")
    if fresh:
        _clear(run)
    elif is_finished(run):
        raise ConfigError(
            f"{run} holds a finished run: `rankloom evaluate {run}` judges it. Choose another "
            f"--run-dir for a new fit, or --fresh to replace this one."
        )
    elif kept.is_file() and kept.read_text(encoding="utf-8") != config:
        raise ConfigError(
            f"{run} holds an unfinished run of another config. Choose another --run-dir, or "
            f"--fresh to start anew in this one."
        )
    run.mkdir(parents=True, exist_ok=True)
    kept.write_text(config, encoding="utf-8")


def _clear(run: Path) -> None:
    """Remove what a fit writes, and nothing else."""
    for name in ("bundle", "checkpoints"):
        shutil.rmtree(run / name, ignore_errors=True)
    for name in ("config.yaml", "metrics.json", "log.jsonl"):
        (run / name).unlink(missing_ok=True)


def is_finished(run: Path) -> bool:
    """Return whether the run wrote its bundle."""
    return (run / "bundle").is_dir()


def new_run_dir(name: str, now: datetime, root: Path = RUNS) -> Path:
    """Return a folder that is not there yet: ``runs/NAME-20250131-120000``."""
    stem = f"{name}-{now:%Y%m%d-%H%M%S}"
    path, number = root / stem, 1
    while path.exists():
        number += 1
        path = root / f"{stem}-{number}"
    return path


def unfinished_run(name: str, root: Path = RUNS) -> Path | None:
    """Return the newest run of that name without a bundle, if any."""
    own = [run for run in run_dirs(root) if run.name.startswith(f"{name}-")]
    return next((run for run in reversed(own) if not is_finished(run)), None)
