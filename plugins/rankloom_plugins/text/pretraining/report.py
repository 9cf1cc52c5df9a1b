"""The report: a file beside the weights, and lines for people."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

__all__ = ["REPORT", "render", "write_json"]

#: The report's name in the model directory.
REPORT = "pretrain.json"


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file that is there whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)


def render(report: dict[str, Any], out: Path) -> str:
    """Return the report as lines for people."""
    texts, share = report["texts"], 100 * report["trained_weights"] / report["weights"]
    lines = [
        f"{report['objective']} on {texts['train']:,} texts of {report['field']!r} "
        f"({texts['validation']} chose the epoch, {texts['held_out']} were held out): "
        f"{report['epochs']} epochs, {report['minutes']:.1f} minutes, "
        f"{report['trained_weights']:,} weights trained ({share:.3g} %)",
        _held_out(report),
    ]
    cold = report["cold"]
    if cold is None:
        lines.append("cold items were not ranked")
    else:
        lines.append(
            f"{cold['metric']} of cold items ({report['protocol']}), by their texts alone:"
        )
        width = max(map(len, cold["rows"]))
        for name, row in cold["rows"].items():
            lines.append(
                f"  {name:{width}}  {row['mean']:.4f}  [{row['low']:.4f}, {row['high']:.4f}]"
            )
        for name, row in cold["after_less"].items():
            lines.append(
                f"  after less {name}: {row['difference']:+.4f} "
                f"[{row['low']:+.4f}, {row['high']:+.4f}]"
            )
    lines.append(
        f"written: {out}; name it in a pipeline: {{type: {report['encoder']}, model: DIR}}"
    )
    return "\n".join(lines)


def _held_out(report: dict[str, Any]) -> str:
    before, after = report["before"], report["after"]
    name = f"held-out {report['measure']}"
    if before is None:
        return f"{name}: {after:,.4g}"
    new = " (before with a new, random head)" if report["new_head"] else ""
    return f"{name}: {before:,.4g} before, {after:,.4g} after{new}"
