"""Manifest of the built-in ranking metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rankloom import ComponentConfig, ComponentSpec, component, hookimpl

__all__ = [
    "HitRateConfig",
    "MapConfig",
    "MrrConfig",
    "NdcgConfig",
    "PrecisionConfig",
    "RecallConfig",
    "register_metrics",
]

_HERE = "rankloom_plugins.metrics"


class NdcgConfig(ComponentConfig):
    """Discounted gain of the targets found, divided by the best possible."""

    type: Literal["ndcg"] = "ndcg"
    """Name of the component; reports print ``ndcg@k``."""


class RecallConfig(ComponentConfig):
    """Share of the targets found among the first k."""

    type: Literal["recall"] = "recall"
    """Name of the component; reports print ``recall@k``."""


class MrrConfig(ComponentConfig):
    """One over the position of the first target, 0 if it is not among the first k."""

    type: Literal["mrr"] = "mrr"
    """Name of the component; reports print ``mrr@k``."""


class HitRateConfig(ComponentConfig):
    """1 if any target is among the first k, else 0."""

    type: Literal["hit_rate"] = "hit_rate"
    """Name of the component; reports print ``hit_rate@k``."""


class PrecisionConfig(ComponentConfig):
    """Share of the k slots that hold a target; an empty slot is a miss."""

    type: Literal["precision"] = "precision"
    """Name of the component; reports print ``precision@k``."""


class MapConfig(ComponentConfig):
    """Average precision at the targets found, over min(k, number of targets)."""

    type: Literal["map"] = "map"
    """Name of the component; reports print ``map@k``."""


@hookimpl
def register_metrics() -> Sequence[ComponentSpec]:
    """Return the built-in ranking metrics."""
    return [
        component(NdcgConfig, f"{_HERE}.ndcg:Ndcg"),
        component(RecallConfig, f"{_HERE}.recall:Recall"),
        component(MrrConfig, f"{_HERE}.mrr:Mrr"),
        component(HitRateConfig, f"{_HERE}.hit_rate:HitRate"),
        component(PrecisionConfig, f"{_HERE}.precision:Precision"),
        component(MapConfig, f"{_HERE}.map:MeanAveragePrecision"),
    ]
