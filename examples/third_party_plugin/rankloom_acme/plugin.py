"""The manifest: settings, and where the implementations are. It imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rankloom import ComponentConfig, ComponentSpec, EncoderConfig, component, hookimpl


class TrigramsConfig(EncoderConfig):
    """Text as hashed character trigrams; needs no model, and forgives misspellings."""

    type: Literal["acme.trigrams"] = "acme.trigrams"
    dim: int = Field(default=64, ge=1)
    """Width of the vectors; trigrams share slots where there are more of them."""
    lower: bool = True
    """Treat capitals as small letters."""


class CosineConfig(ComponentConfig):
    """Cosine of query and item vectors, divided by a temperature."""

    type: Literal["acme.cosine"] = "acme.cosine"
    temperature: float = Field(default=0.1, gt=0)
    """Small values sharpen the softmax in training."""


@hookimpl
def register_encoders() -> list[ComponentSpec]:
    return [component(TrigramsConfig, "rankloom_acme.trigrams:Trigrams", modality="text")]


@hookimpl
def register_scorers() -> list[ComponentSpec]:
    # catalog: scores many items at once, so that a softmax over all of them can train it
    target = "rankloom_acme.cosine:Cosine"
    return [component(CosineConfig, target, needs_vectors=True, catalog=True)]
