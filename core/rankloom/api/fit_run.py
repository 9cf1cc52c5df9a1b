"""One run of a fit: the stage with its options, and the run directory it leaves."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from rankloom.api.fitting import FitLog, Fitter
from rankloom.api.progress import Tell, bars, visible
from rankloom.api.run_log import RunLog
from rankloom.api.stages import FitContext, is_rank_zero, run_fit
from rankloom.config import PipelineConfig, expand
from rankloom.data.cache import EmbeddingCache
from rankloom.host import Host
from rankloom.pipeline.builder import Parts

__all__ = ["Options", "fit", "write_run"]

LOG = "log.jsonl"


@dataclass(frozen=True, slots=True)
class Options:
    """How to fit; none of it changes what is fitted but ``dry_run`` and ``weights``.

    Attributes:
        progress: Show bars where somebody looks.
        tell: Told (what, steps done, of) instead of bars.
        dry_run: One epoch.
        resume: Continue interrupted training of the same run directory.
        weights: To start from, by model.
    """

    progress: bool = True
    tell: Tell | None = None
    dry_run: bool = False
    resume: bool = True
    weights: Mapping[str, Mapping[str, Tensor]] | None = None


def fit(context: FitContext, host: Host, parts: Parts, options: Options) -> FitLog:
    """Run the ``fit`` stage.

    Args:
        context: What plugins are given.
        host: The plugins.
        parts: Built, unfitted components.
        options: See :class:`Options`.
    """
    pipeline = context.pipeline
    lines = None
    if context.run_directory is not None and is_rank_zero():
        context.run_directory.mkdir(parents=True, exist_ok=True)
        lines = RunLog(context.run_directory / LOG)
        data = context.dataset
        sizes = {"items": len(data.items), "users": len(data.users)}
        lines("start", sizes, interactions=len(data.interactions), counts=dict(data.report))
    checkpoints = _checkpoints(context)
    with bars(options.progress, options.tell) as told, _kept(checkpoints, context.run_directory):
        fitter = Fitter(
            pipeline.config,
            parts,
            context.dataset,
            context.split,
            EmbeddingCache(pipeline.cache_dir),
            checkpoints,
            progress=options.progress and options.tell is None and visible(),
            tell=told,
            resume=options.resume and context.run_directory is not None,
            dry_run=options.dry_run,
            initial=options.weights,
            lines=lines,
        )
        return run_fit(host, context, lambda _: fitter.fit())


@contextmanager
def _kept(checkpoints: Path, run: Path | None) -> Iterator[None]:
    """Remove checkpoints in the end where there is no run: nobody could go on from them.

    Other processes of a launcher may still be reading them; they are then left.
    """
    try:
        yield
    finally:
        if run is None and int(os.environ.get("WORLD_SIZE", "1")) == 1:
            shutil.rmtree(checkpoints, ignore_errors=True)


def _checkpoints(context: FitContext) -> Path:
    """Return the folder of checkpoints for exactly this config and data."""
    events = context.dataset.interactions
    text = expand(context.pipeline.config)
    key = f"{text}|{len(events)}|{int(events.items.sum())}|{int(events.users.sum())}"
    name = hashlib.sha256(key.encode()).hexdigest()[:12]
    root = context.run_directory or context.pipeline.cache_dir.parent
    return root / "checkpoints" / name


def write_run(directory: Path, config: PipelineConfig, seconds: float, log: FitLog) -> None:
    """Write config.yaml and metrics.json, and add a line to log.jsonl.

    Args:
        directory: The run.
        config: The pipeline.
        seconds: The whole fit.
        log: What the fit did.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _replace(directory / "config.yaml", expand(config))
    entry = {"seconds": seconds, **log.to_dict()}
    RunLog(directory / LOG)("fit", entry)
    _replace(directory / "metrics.json", json.dumps({"time": time.time(), **entry}, indent=1))


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)
