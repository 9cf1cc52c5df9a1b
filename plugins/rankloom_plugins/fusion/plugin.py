"""Manifest: fusions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from rankloom import ComponentConfig, ComponentSpec, component, hookimpl

__all__ = ["AttentionConfig", "ConcatConfig", "GatedConfig", "SumConfig", "register_fusions"]


class AttentionConfig(ComponentConfig):
    """Map every encoding to one space, where a learned query attends over what is present."""

    type: Literal["attention"] = "attention"
    over: Literal["vectors", "tokens"] = "vectors"
    """What is attended over: one vector an encoding, or its tokens where the encoder has any."""
    dim: int = Field(default=64, ge=1)
    """Width of the result."""
    heads: int = Field(default=4, ge=1)
    """Heads of the attention; ``dim`` must be a multiple of them."""
    layers: int = Field(default=1, ge=1)
    """How often is asked; from the second time on with what was found before."""
    modality_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Chance that an encoding is hidden in a training step; never all of a row's."""
    normalize: bool = True
    """Layer-normalise every encoding first, so that none wins by its scale."""

    @model_validator(mode="after")
    def _heads_share_dim(self) -> AttentionConfig:
        if self.dim % self.heads:
            raise ValueError(
                f"'dim' must be a multiple of 'heads', and {self.dim} is none of {self.heads}"
            )
        return self


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
        component(AttentionConfig, "rankloom_plugins.fusion.attention:AttentionFusion"),
        component(ConcatConfig, "rankloom_plugins.fusion.concat:ConcatFusion"),
        component(GatedConfig, "rankloom_plugins.fusion.gated:GatedFusion"),
        component(SumConfig, "rankloom_plugins.fusion.sum:SumFusion", equal_dims=True),
    ]
