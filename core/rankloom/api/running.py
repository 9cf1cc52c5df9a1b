"""Run directories: config, log, metrics, checkpoints, bundle."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rankloom.data.dataset import Dataset

__all__ = ["checkpoint_dir", "write_run"]


def checkpoint_dir(
    run_directory: Path | None, scratch: Path, config_text: str, dataset: Dataset
) -> Path:
    """Return the folder of checkpoints for exactly this config and data.

    Args:
        run_directory: The run, if it is kept.
        scratch: Where checkpoints go otherwise.
        config_text: The filled config.
        dataset: The data.
    """
    events = dataset.interactions
    key = f"{config_text}|{len(events)}|{int(events.items.sum())}|{int(events.users.sum())}"
    name = hashlib.sha256(key.encode()).hexdigest()[:12]
    root = scratch if run_directory is None else run_directory
    return root / "checkpoints" / name


def write_run(directory: Path, config_text: str, seconds: float, log: Mapping[str, Any]) -> None:
    """Write config.yaml and metrics.json, and add a line to log.jsonl.

    Args:
        directory: The run.
        config_text: The filled config.
        seconds: The whole fit.
        log: What the fit did.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _replace(directory / "config.yaml", config_text)
    entry = {"event": "fit", "time": time.time(), "seconds": seconds, **log}
    with (directory / "log.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(entry) + "\n")
    _replace(directory / "metrics.json", json.dumps(entry, indent=1))


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)
