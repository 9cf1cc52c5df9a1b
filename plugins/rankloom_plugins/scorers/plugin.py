"""Manifest of the scorers over towers, over a named model, and over other scorers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from rankloom import ComponentConfig, ComponentSpec, component, hookimpl
from rankloom.config.refs import ScorerRef

__all__ = ["BlendConfig", "DotConfig", "ModelConfig", "RidgeMapConfig", "register_scorers"]


class DotConfig(ComponentConfig):
    """Inner product of query and item vectors, optionally cosine and with biases."""

    type: Literal["dot"] = "dot"
    """The component's registered name."""
    user_bias: bool = False
    """Add a learned bias for each user; 0 for unknown users."""
    item_bias: bool = False
    """Add a learned bias for each item; 0 for items that were not there at fit time."""
    global_bias: bool = False
    """Add one learned number, which starts at the mean of the training values."""
    cosine: bool = False
    """Scale both vectors to length 1 first."""
    temperature: float = Field(default=1.0, gt=0)
    """Divide the product by this (0.05 to 0.2 suits cosine)."""
    learnable_temperature: bool = False
    """Train the temperature, starting from the given one."""


class ModelConfig(ComponentConfig):
    """The scores of one of the pipeline's models."""

    type: Literal["model"] = "model"
    """The component's registered name."""
    name: str | None = None
    """The model's name; may be left out where the pipeline has one model."""
    task: str | None = None
    """Whose scores answer where tasks have scorers of their own; default: the first task."""


class BlendConfig(ComponentConfig):
    """A weighted mean of other scorers' scores, each standardised per query."""

    type: Literal["blend"] = "blend"
    """The component's registered name."""
    parts: list[ScorerRef] = Field(min_length=1)
    """The scorers to blend."""
    weights: list[float] | None = None
    """One weight a part, none negative; default: equal, or chosen on validation."""
    calibrate: bool | None = None
    """Choose the weights that maximise NDCG@k on validation; default: where none are given. With
    both, parts that validation cannot judge (free text alone) keep the share given."""
    k: int = Field(default=10, ge=1)
    """Length of the list whose NDCG is maximised."""
    max_queries: int = Field(default=2000, ge=1)
    """Most validation queries used for the choice; drawn by seed where there are more."""

    @model_validator(mode="after")
    def _weights_fit(self) -> BlendConfig:
        if self.weights is None:
            return self
        if len(self.weights) != len(self.parts):
            raise ValueError(
                f"weights has {len(self.weights)} numbers for {len(self.parts)} parts; "
                f"give one for each part"
            )
        if min(self.weights) < 0 or sum(self.weights) <= 0:
            raise ValueError("weights must not be negative, and at least one must be above 0")
        return self


class RidgeMapConfig(ComponentConfig):
    """Another scorer's scores, continued by content to items that it has never seen."""

    type: Literal["ridge_map"] = "ridge_map"
    """The component's registered name."""
    of: ScorerRef = Field(default="ease", validate_default=True)
    """The scorer whose scores are continued (``ease``, ``{type: model, name: id}``)."""
    model: str | None = None
    """The model whose item encoders say what items are; may be left out where there is one."""
    l2: float | None = Field(default=None, gt=0)
    """Ridge strength; default: chosen by making training items cold in turn."""
    weights: dict[str, float] | None = None
    """Weights of the encoders' blocks; default: chosen likewise, else equal."""
    kernel: Literal["linear", "quadratic"] | None = None
    """How alike two items are: by features, or by pairs of features too (for 4,096 training items
    at most); default: chosen likewise up to 2,048 training items, else ``linear``."""
    damping: float | None = Field(default=None, ge=0, le=1)
    """Scores of training items are divided by their spread to this power, since much asked-for
    items vary most; default: 0 or 0.5, chosen likewise."""
    prior: float = Field(default=0.0, ge=0)
    """An item with ``n`` training positives keeps ``n / (n + prior)`` of the other scorer's score
    and takes the rest from the map; 0: what the other scorer knows, it keeps whole."""
    k: int = Field(default=20, ge=1)
    """Length of the list whose NDCG the choice maximises."""
    folds: int = Field(default=5, ge=2)
    """Parts of the training items that are made cold in turn for the choice."""
    max_queries: int = Field(default=1000, ge=1)
    """Most users whose histories are looked at for the choice."""


@hookimpl
def register_scorers() -> Sequence[ComponentSpec]:
    """Register dot, model and blend."""
    family = "rankloom_plugins.scorers"
    return [
        component(
            DotConfig, f"{family}.dot:Dot", inner_product=True, needs_vectors=True, catalog=True
        ),
        component(ModelConfig, f"{family}.model:ModelScorer"),
        component(BlendConfig, f"{family}.blend:Blend"),
        component(RidgeMapConfig, f"{family}.ridge_map:RidgeMap", of_model=True),
    ]
