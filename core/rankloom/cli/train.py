"""``rankloom fit`` and ``rankloom evaluate``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rankloom.cli.options import ConfigFile, FittedDir, Json, Overrides
from rankloom.cli.paths import bundle_of, new_run_dir, unfinished_run
from rankloom.cli.show import console, emit_json, note

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
    from rankloom.config import load_config

    loaded = load_config(config, overrides=tuple(set_ or ()))
    start = bundle_of(initial) if initial else None
    name = loaded.name
    target = run_dir
    if target is None and not dry_run:
        found = unfinished_run(name) if resume else None
        target = found or new_run_dir(name, datetime.now(UTC))
    if not json and target is not None:
        note(f"run directory: {target}")
    from rankloom.api import Pipeline

    pipeline = Pipeline.from_config(
        loaded, base_dir=config.resolve().parent if config.is_file() else None
    ).fit(
        run_dir=None if dry_run else target,
        progress=not json,
        dry_run=dry_run,
        resume=resume is not False,
        initial=start,
    )
    if json:
        emit_json(
            {"run": None if dry_run else str(target), "dry_run": dry_run, **pipeline.describe()}
        )
    elif dry_run:
        note("dry run: every stage passed")
    else:
        note(f"fitted; next: rankloom evaluate {target}")


def evaluate(
    run: FittedDir,
    phase: Annotated[str, typer.Option(help="test or validation.")] = "test",
    json: Json = False,
) -> None:
    """Judge a fitted pipeline on the held-out part of its data."""
    if phase not in {"test", "validation"}:
        raise typer.BadParameter(f"{phase!r} is neither 'test' nor 'validation'.")
    bundle = bundle_of(run)
    from rankloom.api import Pipeline

    report = Pipeline.load(bundle).evaluate(phase=phase, progress=not json)
    if json:
        emit_json(report.to_dict())
    else:
        report.print(console())
