"""Manifest: encoders of a query's history."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rankloom import ComponentSpec, EncoderConfig, component, hookimpl

__all__ = ["HistoryBagConfig", "HistoryMeanConfig", "SASRecConfig", "register_encoders"]


class SASRecConfig(EncoderConfig):
    """Self-attention over the history: one query a position, trained in one pass (SASRec)."""

    type: Literal["sasrec"] = "sasrec"
    max_length: int = Field(default=50, ge=1)
    """Most recent events that are read."""
    blocks: int = Field(default=2, ge=1)
    """Transformer blocks."""
    heads: int = Field(default=1, ge=1)
    """Attention heads; must divide the width of the item vectors."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of activations dropped while training."""
    feedforward: int = Field(default=1, ge=1)
    """Width of the feed-forward layers as a multiple of the item vectors' width."""
    activation: Literal["relu", "gelu"] = "relu"
    """Activation of the feed-forward layers."""
    norm_first: bool = True
    """Normalise before each branch (trains more steadily) instead of after it."""


class HistoryMeanConfig(EncoderConfig):
    """Mean of the history's item vectors."""

    type: Literal["history_mean"] = "history_mean"
    max_length: int = Field(default=200, ge=1)
    """Most recent events that are read."""
    weight_by_value: bool = False
    """Weigh each event by its value less the mean value of that history, so that what was liked
    pulls the query nearer and what was disliked pushes it away; events without a value count 0."""
    project: bool = False
    """Learn a linear map of the mean."""


class HistoryBagConfig(EncoderConfig):
    """Sum of the history's items by vectors of their own (SVD++); needs no item vectors."""

    type: Literal["history_bag"] = "history_bag"
    dim: int = Field(default=64, ge=1)
    """Width of the vectors."""
    max_length: int = Field(default=500, ge=1)
    """Most recent events that are read."""
    weight_by_value: bool = False
    """Weigh each event by its value less the mean value of that history."""
    power: float = Field(default=0.5, ge=0, le=1)
    """The sum is divided by the number of events to this power: 1 is the mean; below it, long
    histories say more than short ones."""


@hookimpl
def register_encoders() -> list[ComponentSpec]:
    """Register the history encoders."""
    return [
        component(
            SASRecConfig,
            "rankloom_plugins.sequence.sasrec:SASRecEncoder",
            side="history",
            causal=True,
        ),
        component(
            HistoryMeanConfig,
            "rankloom_plugins.sequence.history_mean:HistoryMeanEncoder",
            side="history",
            causal=True,
        ),
        component(
            HistoryBagConfig,
            "rankloom_plugins.sequence.history_bag:HistoryBagEncoder",
            side="history",
        ),
    ]
