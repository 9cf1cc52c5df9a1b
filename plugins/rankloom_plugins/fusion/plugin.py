"""Manifest: fusions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rankloom import ComponentConfig, ComponentSpec, component, hookimpl

__all__ = ["ConcatConfig", "GatedConfig", "SumConfig", "register_fusions"]


class ConcatConfig(ComponentConfig):
    """Concatenate the encodings and which of them are present, then map linearly."""

    type: Literal["concat"] = "concat"
    dim: int | None = Field(default=None, ge=1)
    """Width of the result; null: the sum of the encodings' widths."""
    modality_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Chance that an encoding is hidden in a training step; never all of a row's."""
    normalize: bool = True
    """Layer-normalise every encoding first, so that none wins by its scale."""


class GatedConfig(ComponentConfig):
    """Map every encoding to one space and add them up, weighted by a learned gate."""

    type: Literal["gated"] = "gated"
    dim: int = Field(default=64, ge=1)
    """Width of the result."""
    modality_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Chance that an encoding is hidden in a training step; never all of a row's."""
    normalize: bool = True
    """Layer-normalise every encoding first, so that none wins by its scale."""


class SumConfig(ComponentConfig):
    """Add the encodings up, as a factorisation machine does; they must be equally wide."""

    type: Literal["sum"] = "sum"
    modality_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Chance that an encoding is hidden in a training step; never all of a row's."""


@hookimpl
def register_fusions() -> list[ComponentSpec]:
    """Register the fusions."""
    return [
        component(ConcatConfig, "rankloom_plugins.fusion.concat:ConcatFusion"),
        component(GatedConfig, "rankloom_plugins.fusion.gated:GatedFusion"),
        component(SumConfig, "rankloom_plugins.fusion.sum:SumFusion", equal_dims=True),
    ]
