"""``rankloom runs``: what was fitted, and how the runs compare."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from rankloom.cli.options import Json
from rankloom.cli.paths import RUNS, is_finished, run_dirs
from rankloom.cli.show import emit_json, note, print_table
from rankloom.errors import DataError

__all__ = ["app", "compare", "flatten", "list_runs"]

app = typer.Typer(help="Run directories: list and compare.", no_args_is_help=True)

_Root = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of run directories.")]


@app.command("list")
def list_runs(root: _Root = RUNS, json: Json = False) -> None:
    """List the runs below a folder, oldest first."""
    rows = [_summary(run) for run in _found(root)]
    if json:
        emit_json(rows)
        return
    print_table(
        "",
        ["run", "name", "started", "state", "best"],
        [[row[key] for key in ("run", "name", "started", "state", "headline")] for row in rows],
    )


@app.command()
def compare(
    root: _Root = RUNS,
    only: Annotated[
        list[str] | None,
        typer.Option("--run", help="A run below DIR; repeat for more.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Show metrics of runs side by side, and the config keys in which they differ."""
    runs = _found(root)
    if only:
        by_name = {run.name: run for run in runs}
        unknown = [name for name in only if name not in by_name]
        if unknown:
            raise DataError(
                f"{root} has no run {unknown[0]!r}. Runs there: {', '.join(by_name) or 'none'}."
            )
        runs = [by_name[name] for name in only]
    metrics = {run.name: _numbers(_read(run / "metrics.json")) for run in runs}
    differing = _differences({run.name: flatten(_read(run / "config.yaml")) for run in runs})
    if json:
        emit_json({"metrics": metrics, "config": differing})
        return
    names = [run.name for run in runs]
    _side_by_side("metrics", "metric", metrics, names)
    if differing:
        _side_by_side("config keys that differ", "key", differing, names)


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested data under dotted keys.

    A list of mappings that each have a ``name`` is keyed by those names; other lists are leaves.
    """
    return dict(_leaves(value, prefix))


def _leaves(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if (
        isinstance(value, list)
        and value
        and all(isinstance(v, dict) and "name" in v for v in value)
    ):
        value = {v["name"]: {k: x for k, x in v.items() if k != "name"} for v in value}
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _numbers(metrics: Any) -> dict[str, float]:
    return {
        key: float(value)
        for key, value in flatten(metrics).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _differences(flat: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    keys = {key for config in flat.values() for key in config}
    differ = sorted(
        key for key in keys if len({repr(config.get(key)) for config in flat.values()}) > 1
    )
    return {
        name: {key: config.get(key) for key in differ} for name, config in flat.items() if differ
    }


def _side_by_side(
    title: str, first: str, table: dict[str, dict[str, Any]], names: list[str]
) -> None:
    keys = list(dict.fromkeys(key for name in names for key in table[name]))
    print_table(
        title, [first, *names], [[key, *(table[name].get(key) for name in names)] for key in keys]
    )


def _found(root: Path) -> list[Path]:
    if not root.is_dir():
        raise DataError(f"{root} is not a folder. `rankloom fit` writes runs below {RUNS}/.")
    runs = run_dirs(root)
    if not runs:
        note(f"no runs in {root}")
    return runs


def _read(path: Path) -> Any:
    """Return what a run wrote, or an empty mapping where it has not come that far."""
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        try:
            return jsonlib.loads(text)
        except ValueError as error:
            raise DataError(
                f"{path} is not JSON ({error}); the run was changed by hand."
            ) from error
    import yaml

    return yaml.safe_load(text) or {}


def _summary(run: Path) -> dict[str, Any]:
    config, metrics = _read(run / "config.yaml"), _numbers(_read(run / "metrics.json"))
    started = datetime.fromtimestamp((run / "config.yaml").stat().st_mtime, UTC)
    headline = next((key for key in metrics if "ndcg" in key or "rmse" in key), None)
    return {
        "run": run.name,
        "name": config.get("name", ""),
        "started": f"{started:%Y-%m-%d %H:%M}",
        "state": "fitted" if is_finished(run) else "unfinished",
        "headline": f"{headline} {metrics[headline]:.4f}" if headline else "",
        "metrics": metrics,
    }
