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
    "SoftBinsConfig",
    "TimestampConfig",
    "VectorConfig",
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
    by: Literal["network", "quantiles", "fourier"] = "network"
    """``network``: one hidden layer; ``quantiles``: piecewise-linear over quantiles of the training
    values, then linear; ``fourier``: sine and cosine at fixed frequencies, then linear."""
    bins: int = Field(default=16, ge=1)
    """Quantile bins, for ``quantiles``."""
    frequencies: int = Field(default=16, ge=1)
    """Frequencies, for ``fourier``."""
    scale: float = Field(default=0.5, gt=0)
    """Standard deviation of the frequencies, in turns a standard deviation of the number, for
    ``fourier``: larger tells nearer numbers apart."""
    clip: float = Field(default=5.0, gt=0)
    """Standard deviations beyond which numbers count as that far, so that one outlier cannot
    dominate."""


class SoftBinsConfig(EncoderConfig):
    """A number as soft memberships in bins; nothing trains, for closed-form maps of content."""

    type: Literal["soft_bins"] = "soft_bins"
    dim: int = Field(default=32, ge=1)
    """How many bins."""
    width: float = Field(default=0.3, gt=0)
    """Width of a bin in standard deviations of the training values."""


class VectorConfig(EncoderConfig):
    """A vector that the data gives (embeddings made elsewhere)."""

    type: Literal["vector"] = "vector"
    dim: int | None = Field(default=None, ge=1)
    """Width of a trained linear map; null: none (fusions bring their own)."""
    standardize: bool = False
    """Take out mean and standard deviation of every component over the training rows."""
    normalize: bool = False
    """Scale vectors to length 1, after ``standardize``."""


class TimestampConfig(EncoderConfig):
    """A moment: its place in the day, the week and the year (UTC), and its standardised age."""

    type: Literal["timestamp"] = "timestamp"
    dim: int = Field(default=8, ge=1)
    """Width of the vectors."""
    harmonics: int = Field(default=2, ge=1)
    """Sine and cosine of each period's multiples up to this one."""
    clip: float = Field(default=5.0, gt=0)
    """Standard deviations beyond which ages count as that far."""


@hookimpl
def register_encoders() -> list[ComponentSpec]:
    """Register the tabular encoders."""
    return [
        component(EmbeddingConfig, "rankloom_plugins.tabular.embedding:EmbeddingEncoder"),
        component(MultiHotConfig, "rankloom_plugins.tabular.multi_hot:MultiHotEncoder"),
        component(CategoryConfig, "rankloom_plugins.tabular.category:CategoryEncoder"),
        component(NumberConfig, "rankloom_plugins.tabular.number:NumberEncoder"),
        component(SoftBinsConfig, "rankloom_plugins.tabular.soft_bins:SoftBinsEncoder"),
        component(VectorConfig, "rankloom_plugins.tabular.vector:VectorEncoder"),
        component(TimestampConfig, "rankloom_plugins.tabular.timestamp:TimestampEncoder"),
    ]
