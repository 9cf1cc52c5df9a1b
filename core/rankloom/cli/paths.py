"""Run directories and bundles on disk."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from rankloom.errors import BundleError, ConfigError

__all__ = ["RUNS", "bundle_of", "is_finished", "new_run_dir", "run_dirs", "unfinished_run"]

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
