"""``rankloom runs``: what was fitted, and how the runs compare."""

from __future__ import annotations

import json as jsonlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from rankloom.cli.options import Json
from rankloom.cli.paths import RUNS, is_finished, run_dirs
from rankloom.cli.show import emit_json, note, print_table
from rankloom.errors import ConfigError, DataError

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
            raise ConfigError(
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
    """Return the leaves of nested mappings under dotted keys; lists are leaves."""
    if not isinstance(value, dict):
        return {prefix: value}
    leaves: dict[str, Any] = {}
    for key, item in value.items():
        leaves |= flatten(item, f"{prefix}.{key}" if prefix else str(key))
    return leaves


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """Return what is worth comparing: the judged rows, errors on ratings, and the fit itself."""
    found: dict[str, Any] = {}
    for phase in ("test", "validation"):
        report = metrics.get(phase) or {}
        for row in report.get("rows", []):
            for name, value in row["metrics"].items():
                found[f"{phase} {row['name']} {name}"] = value
        for name, value in (report.get("ratings") or {}).items():
            found[f"{phase} {name}"] = value
    for name, model in (metrics.get("models") or {}).items():
        found |= {f"fit {name} {key}": value for key, value in model.items()}
    found["fit seconds"] = metrics.get("seconds")
    return {key: float(value) for key, value in found.items() if _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


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
        raise ConfigError(f"{root} is not a folder. `rankloom fit` writes runs below {RUNS}/.")
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

    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise DataError(f"{path} is not YAML; the run was changed by hand.") from error


def _headline(report: dict[str, Any], metrics: dict[str, float]) -> str | None:
    """Return the key that says most of a run.

    The report's own headline of the pipeline's row, which comes last; else the error of its
    ratings; else what the first model was chosen by.
    """
    rows, name = report.get("rows") or [], report.get("headline")
    bests = [key for key in metrics if key.startswith("fit ") and key.endswith(" best")]
    wanted = [f"test {rows[-1]['name']} {name}"] if rows else []
    wanted += ["test rmse", *bests]
    return next((key for key in wanted if key in metrics), None)


def _summary(run: Path) -> dict[str, Any]:
    started = datetime.fromtimestamp((run / "config.yaml").stat().st_mtime, UTC)
    row: dict[str, Any] = {
        "run": run.name,
        "name": "",
        "started": f"{started:%Y-%m-%d %H:%M}",
        "state": "fitted" if is_finished(run) else "unfinished",
        "headline": "",
        "metrics": {},
    }
    try:
        config, written = _read(run / "config.yaml"), _read(run / "metrics.json")
    except DataError as error:  # one damaged run must not hide the others
        return {**row, "state": "damaged", "headline": str(error)}
    metrics = _numbers(written)
    headline = _headline(written.get("test") or {}, metrics)
    best = f"{headline} {metrics[headline]:.4f}" if headline else ""
    return {**row, "name": config.get("name", ""), "headline": best, "metrics": metrics}
