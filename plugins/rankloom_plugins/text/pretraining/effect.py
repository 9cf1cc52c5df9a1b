"""What a text model does for cold items: ranked by what their texts say, before and after."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rankloom.api import Pipeline
from rankloom.evaluation import bootstrap_mean, paired_difference
from rankloom_plugins.text.pretraining.catalog import Catalog

__all__ = ["METRIC", "cold_effect"]

#: What cold items are judged by.
METRIC = "ndcg@20"


def cold_effect(
    catalog: Catalog, encoders: dict[str, dict[str, Any]], target: str, progress: bool
) -> dict[str, Any]:
    """Rank the cold items by ``ridge_map`` over each encoder's vectors and nothing else.

    Args:
        catalog: The data and its split.
        encoders: Settings of an encoder by row.
        target: The scorer that is continued to cold items.
        progress: Show bars.

    Returns:
        ``rows`` (mean and 95 % interval of :data:`METRIC`, and n) and ``differences`` of
        ``after``, if there is one, less each other row, paired over users.
    """
    models = {f"text_{n}": encoder for n, encoder in enumerate(encoders.values())}
    names = dict(zip(encoders, models, strict=True))
    scorers = {
        row: {"type": "ridge_map", "of": target, "model": name} for row, name in names.items()
    }
    first = next(iter(encoders))
    config = {
        "name": "effect",
        "seed": catalog.settings.seed,
        "data": catalog.settings.data.model_dump(),
        "models": {
            name: {"items": {"encoders": {"text": {"field": catalog.field, **encoder}}}}
            for name, encoder in models.items()
        },
        "scorer": scorers[first],
        "text_as": catalog.field,
        "trainer": catalog.settings.trainer,
        "evaluation": {
            "k": [20],
            "metrics": ["ndcg"],
            "baselines": False,
            "compare": {names[row]: scorer for row, scorer in scorers.items() if row != first},
        },
    }
    pipeline = Pipeline.from_config(config, base_dir=catalog.base_dir).fit(progress=progress)
    results = pipeline.evaluate(progress=progress).results
    values = {
        row: results["effect" if row == first else name].values[METRIC]
        for row, name in names.items()
    }
    rows = {
        row: {**asdict(bootstrap_mean(found)), "n": len(found)} for row, found in values.items()
    }
    differences = {}
    for row in values:
        if row != "after" and "after" in values:
            found = paired_difference(values["after"], values[row])
            differences[row] = {
                "difference": found.difference,
                "low": found.low,
                "high": found.high,
            }
    return {"metric": METRIC, "rows": rows, "after_less": differences}
