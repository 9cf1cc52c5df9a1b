"""``rankloom fit`` and ``rankloom evaluate``."""

from __future__ import annotations

import json as jsonlib
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankloom.cli.options import BaseDir, ConfigFile, FittedDir, Json, Overrides
from rankloom.cli.paths import bundle_of, claim, new_run_dir, unfinished_run
from rankloom.cli.show import console, emit_json, note, plain
from rankloom.errors import ConfigError

if TYPE_CHECKING:
    from rankloom.api import Pipeline

__all__ = ["evaluate", "fit"]


def fit(
    config: ConfigFile,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            help="Where config, log, metrics and bundle go; default runs/NAME-TIME.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--fresh",
            help="Go on from the checkpoints of --run-dir (default there), or of the newest "
            "unfinished run of this name; --fresh starts anew.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="1 % of the data through every stage; keeps nothing.")
    ] = False,
    initial: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="BUNDLE",
            help="Start from the weights of a fitted pipeline.",
            show_default=False,
        ),
    ] = None,
    set_: Overrides = None,
    json: Json = False,
) -> None:
    """Fit a pipeline and write its run directory."""
    from rankloom.config import expand, load_config

    loaded = load_config(config, overrides=tuple(set_ or ()))
    target = None if dry_run else run_dir or _run_dir(loaded.name, resume)
    start = bundle_of(initial) if initial else None
    if target is not None:
        if start is not None and start.resolve().is_relative_to(target.resolve()):
            raise ConfigError(f"--from {initial} lies in the run directory; choose another one.")
        # First of all, so that a run that is cut short can be told by name.
        claim(target, expand(loaded), fresh=resume is False)
        note(f"run directory: {target}")
    from rankloom.api import Pipeline

    pipeline = Pipeline.from_config(loaded, base_dir=config.resolve().parent)
    try:
        pipeline.fit(
            run_dir=target,
            progress=not json,
            dry_run=dry_run,
            resume=resume is not False,
            initial=start,
        )
    except KeyboardInterrupt:
        if target is not None:
            note(f"interrupted; the same command with --run-dir {target} goes on from here")
        raise
    for name in pipeline.log.resumed:
        note(f"went on with the interrupted training of {name!r}")
    if dry_run:
        _rest_of_dry_run(pipeline, progress=not json)
    if json:
        run = None if target is None else str(target)
        fit_log = pipeline.log.to_dict()
        emit_json({"run": run, "dry_run": dry_run, **pipeline.describe(), "fit": fit_log})
    elif dry_run:
        note("dry run: every stage passed")
    else:
        note(f"{pipeline.log.summary()}; next: rankloom evaluate {target}")


def _rest_of_dry_run(pipeline: Pipeline, progress: bool) -> None:
    """Evaluate, save, load, and answer with the pipeline's own policy and guards."""
    from rankloom.api import Pipeline

    pipeline.evaluate(progress=progress)
    with tempfile.TemporaryDirectory() as folder:
        again = Pipeline.load(pipeline.save(Path(folder) / "bundle"), pipeline.base_dir)
    dataset = again.dataset
    assert dataset is not None  # it was loaded with the bundle
    user = dataset.users.ids.external(dataset.interactions.users[:1])[0]
    for one in (pipeline, again):
        one.recommend(user)


def _run_dir(name: str, resume: bool | None) -> Path:
    found = unfinished_run(name) if resume else None
    return found or new_run_dir(name, datetime.now(UTC))


def evaluate(
    run: FittedDir,
    phase: Annotated[str, typer.Option(help="test or validation.")] = "test",
    base_dir: BaseDir = None,
    json: Json = False,
) -> None:
    """Judge a fitted pipeline on the held-out part of its data."""
    if phase not in {"test", "validation"}:
        raise typer.BadParameter(f"{phase!r} is neither 'test' nor 'validation'.")
    bundle = bundle_of(run)
    from rankloom.api import Pipeline

    pipeline = Pipeline.load(bundle, base_dir)
    report = pipeline.evaluate(phase=phase, progress=not json)
    found = report.to_dict()
    if bundle != run:
        _keep(run / "metrics.json", phase, found)
    if json:
        emit_json(found)
    else:
        report.print(console())


def _keep(path: Path, phase: str, report: dict[str, Any]) -> None:
    """Put a report into the run's metrics, where ``runs compare`` finds it."""
    old = jsonlib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    new = path.with_suffix(".json.new")
    new.write_text(jsonlib.dumps(plain({**old, phase: report}), indent=1), encoding="utf-8")
    os.replace(new, path)
