"""Manifest: encoders of ids, categories and numbers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rankloom import ComponentSpec, EncoderConfig, component, hookimpl

__all__ = [
    "CategoryConfig",
    "EmbeddingConfig",
    "MultiHotConfig",
    "NumberConfig",
    "register_encoders",
]


class EmbeddingConfig(EncoderConfig):
    """A trained vector for each item or user id; ids without training data are missing."""

    type: Literal["embedding"] = "embedding"
    dim: int = Field(default=64, ge=1)
    """Width of the vectors."""
    id_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of ids hidden in each training step, so that the model learns to do without them."""


class MultiHotConfig(EncoderConfig):
    """Mean of the trained vectors of a value's categories (the genres of a film)."""

    type: Literal["multi_hot"] = "multi_hot"
    dim: int = Field(default=32, ge=1)
    """Width of the vectors."""
    min_count: int = Field(default=1, ge=1)
    """Categories of fewer training items (or users) are left out."""


class CategoryConfig(EncoderConfig):
    """A trained vector for each category; a category unknown at fit time is missing."""

    type: Literal["category"] = "category"
    dim: int = Field(default=16, ge=1)
    """Width of the vectors."""
    min_count: int = Field(default=1, ge=1)
    """Categories of fewer training items (or users) are left out."""


class NumberConfig(EncoderConfig):
    """A number, standardised on the training rows, through a small trained network."""

    type: Literal["number"] = "number"
    dim: int = Field(default=8, ge=1)
    """Width of the vectors."""
    clip: float = Field(default=5.0, gt=0)
    """Standard deviations beyond which numbers count as that far, so that one outlier cannot
    dominate."""


@hookimpl
def register_encoders() -> list[ComponentSpec]:
    """Register the tabular encoders."""
    return [
        component(EmbeddingConfig, "rankloom_plugins.tabular.embedding:EmbeddingEncoder"),
        component(MultiHotConfig, "rankloom_plugins.tabular.multi_hot:MultiHotEncoder"),
        component(CategoryConfig, "rankloom_plugins.tabular.category:CategoryEncoder"),
        component(NumberConfig, "rankloom_plugins.tabular.number:NumberEncoder"),
    ]
