"""Manifest: policies over scored candidates."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rankloom import ComponentConfig, ComponentSpec, component, hookimpl

__all__ = ["GreedyConfig", "PlackettLuceConfig", "register_policies"]


class GreedyConfig(ComponentConfig):
    """Always the best allowed item next."""

    type: Literal["greedy"] = "greedy"


class PlackettLuceConfig(ComponentConfig):
    """Draw slates item by item with softmax probabilities; exact propensities."""

    type: Literal["plackett_luce"] = "plackett_luce"
    temperature: float = Field(default=1.0, gt=0)
    """Scores are divided by it: near 0 is greedy, large is uniform."""


@hookimpl
def register_policies() -> list[ComponentSpec]:
    """Register the policies."""
    return [
        component(GreedyConfig, "rankloom_plugins.policies.greedy:GreedyPolicy"),
        component(PlackettLuceConfig, "rankloom_plugins.policies.plackett_luce:PlackettLucePolicy"),
    ]
