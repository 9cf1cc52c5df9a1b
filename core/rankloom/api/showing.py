"""What a pipeline says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from rankloom.config import PipelineConfig
from rankloom.data.dataset import Dataset

__all__ = ["as_html", "describe"]


def describe(config: PipelineConfig, dataset: Dataset | None, fitted: bool) -> dict[str, Any]:
    """Return what a pipeline consists of, as plain data."""
    out: dict[str, Any] = {
        "name": config.name,
        "source": config.data.source.type if config.data.source else "data frames",
        "split": config.data.split.type,
        "models": {
            name: {
                "items": {k: e.type for k, e in model.items.encoders.items()},
                "queries": {k: e.type for k, e in model.queries.encoders.items()},
                "tasks": [task.name for task in model.tasks],
            }
            for name, model in config.models.items()
        },
        "scorer": None if config.scorer is None else config.scorer.type,
        "policy": config.policy.type,
        "fitted": fitted,
    }
    if dataset is not None:
        out["items"], out["users"] = len(dataset.items), len(dataset.users)
    return out


def as_html(facts: Mapping[str, Any]) -> str:
    """Return facts as a table for a notebook."""
    rows = "".join(
        f"<tr><th>{escape(str(key))}</th><td>{escape(str(value))}</td></tr>"
        for key, value in facts.items()
    )
    return f"<table>{rows}</table>"
