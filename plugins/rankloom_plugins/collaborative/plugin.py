"""Manifest of the closed-form collaborative scorers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from rankloom import ComponentConfig, ComponentSpec, component, hookimpl

__all__ = [
    "EaseConfig",
    "IalsConfig",
    "ItemKnnConfig",
    "MarkovConfig",
    "PopularityConfig",
    "PrefixRidgeConfig",
    "register_scorers",
]


class PopularityConfig(ComponentConfig):
    """How often an item was taken in training; needs no history."""

    type: Literal["popularity"] = "popularity"
    """The component's registered name."""


class EaseConfig(ComponentConfig):
    """EASE: linear item-to-item weights with a zero diagonal, in closed form."""

    type: Literal["ease"] = "ease"
    """The component's registered name."""
    l2: float = Field(default=350.0, gt=0)
    """Ridge strength; larger smooths more. The default was chosen on ML-100K."""
    max_items: int = Field(default=30_000, ge=1)
    """Largest training universe to fit: memory grows with its square (24 bytes a pair of items)."""


class IalsConfig(ComponentConfig):
    """iALS: factors of users and items by alternating least squares (extra ``ials``)."""

    type: Literal["ials"] = "ials"
    """The component's registered name."""
    factors: int = Field(default=64, ge=1)
    """Width of the factors."""
    confidence: float = Field(default=3.0, ge=1)
    """Weight of a pair that was taken, where one that was not weighs 1."""
    l2: float = Field(default=30.0, gt=0)
    """Ridge strength of the factors. The defaults were chosen on ML-100K's validation part."""
    iterations: int = Field(default=15, ge=1)
    """Rounds of solving for users and then for items."""


class PrefixRidgeConfig(ComponentConfig):
    """What users take, by ridge regression on their first items; popularity is its intercept.

    For new users. The defaults were chosen on users of ML-100K's training part.
    """

    type: Literal["prefix_ridge"] = "prefix_ridge"
    """The component's registered name."""
    l2: float = Field(default=25.0, gt=0)
    """Ridge strength; larger stays closer to popularity."""
    lengths: list[Annotated[int, Field(ge=1)]] = Field(default=[1, 3, 5, 10], min_length=1)
    """How many of a user's first items are known; the regression averages over these cases."""
    max_items: int = Field(default=30_000, ge=1)
    """Largest training universe to fit: memory grows with its square (36 bytes a pair of items)."""


class ItemKnnConfig(ComponentConfig):
    """Item-based nearest neighbours by cosine with shrinkage."""

    type: Literal["item_knn"] = "item_knn"
    """The component's registered name."""
    neighbours: int = Field(default=100, ge=1)
    """Items near a candidate that count."""
    shrinkage: float = Field(default=10.0, ge=0)
    """Added to the cosine's denominator, so that rare pairs do not look certain."""
    dense_items: int = Field(default=10_000, ge=0)
    """Up to this many items weights are held as a full matrix (faster), else sparse."""


class MarkovConfig(ComponentConfig):
    """Transitions between items taken close after one another, weighted by recency.

    The defaults are best on average over the positions -2 to -6 of ML-100K's users.
    """

    type: Literal["markov"] = "markov"
    """The component's registered name."""
    window: int = Field(default=20, ge=1)
    """How many events after an item still count as following it."""
    window_decay: float = Field(default=0.9, gt=0, le=1)
    """Weight of a transition over distance ``d``: ``window_decay ** (d - 1)``."""
    shrinkage: float = Field(default=50.0, ge=0)
    """Added to an item's transition totals, so that rare pairs do not look certain."""
    decay: float = Field(default=0.8, gt=0, le=1)
    """Weight of the ``k``-th latest event of a history: ``decay ** k``, ``k`` from 0."""
    max_length: int = Field(default=100, ge=1)
    """How many of the latest events of a history are used."""
    dense_items: int = Field(default=10_000, ge=0)
    """Up to this many items transitions are held as a full matrix (faster), else sparse."""


@hookimpl
def register_scorers() -> Sequence[ComponentSpec]:
    """Register popularity, EASE, iALS, co-occurrence and Markov."""
    family = "rankloom_plugins.collaborative"
    return [
        component(PopularityConfig, f"{family}.popularity:Popularity"),
        component(EaseConfig, f"{family}.ease:Ease"),
        component(IalsConfig, f"{family}.ials:Ials", extras=("ials",)),
        component(ItemKnnConfig, f"{family}.item_knn:ItemKnn"),
        component(PrefixRidgeConfig, f"{family}.prefix_ridge:PrefixRidge"),
        component(MarkovConfig, f"{family}.markov:Markov"),
    ]
