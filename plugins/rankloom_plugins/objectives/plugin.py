"""Manifest: objectives and the samplers of their negatives."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rankloom import ComponentConfig, ComponentSpec, component, hookimpl

__all__ = [
    "BPRConfig",
    "MSEConfig",
    "PopularityConfig",
    "SoftmaxConfig",
    "UniformConfig",
    "register_objectives",
    "register_samplers",
]


class SoftmaxConfig(ComponentConfig):
    """Cross-entropy of the target over the training universe, whole or sampled."""

    type: Literal["softmax"] = "softmax"
    candidates: Literal["catalog", "sampled"] = "catalog"
    """Compare with the whole universe, or with the task's sampled ``negatives`` (a large catalog:
    a step's cost then does not grow with it)."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Probability mass spread evenly over the universe."""
    logits_budget_mb: float = Field(default=256, gt=0)
    """Logits larger than this many megabytes are computed in chunks of items."""


class BPRConfig(ComponentConfig):
    """Bayesian personalised ranking: the target above sampled negatives."""

    type: Literal["bpr"] = "bpr"


class MSEConfig(ComponentConfig):
    """Squared error of the score against the target's value (a rating)."""

    type: Literal["mse"] = "mse"


class UniformConfig(ComponentConfig):
    """Negatives drawn evenly from the training universe."""

    type: Literal["uniform"] = "uniform"
    shared: bool = False
    """Draw once a step for all its queries: many more negatives for the same cost."""


class PopularityConfig(ComponentConfig):
    """Negatives drawn in proportion to a power of their number of positives in training."""

    type: Literal["popularity"] = "popularity"
    shared: bool = False
    """Draw once a step for all its queries: many more negatives for the same cost."""
    alpha: float = Field(default=0.75, ge=0)
    """The power; 0 is uniform, 1 proportional."""


@hookimpl
def register_objectives() -> list[ComponentSpec]:
    """Register the objectives."""
    place = "rankloom_plugins.objectives"
    return [
        component(
            SoftmaxConfig,
            f"{place}.softmax:SoftmaxObjective",
            candidates="catalog",
            target_kind="positive",
        ),
        component(
            BPRConfig, f"{place}.bpr:BPRObjective", candidates="sampled", target_kind="positive"
        ),
        component(MSEConfig, f"{place}.mse:MSEObjective", candidates="none", target_kind="rating"),
    ]


@hookimpl
def register_samplers() -> list[ComponentSpec]:
    """Register the samplers."""
    place = "rankloom_plugins.objectives.samplers"
    return [
        component(UniformConfig, f"{place}:UniformSampler"),
        component(PopularityConfig, f"{place}:PopularitySampler"),
    ]
