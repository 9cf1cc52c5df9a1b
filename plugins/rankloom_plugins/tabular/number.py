"""A number through a small network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from rankloom.errors import DataError
from rankloom.nn.seeds import seeded
from rankloom.protocols import Build, Encoded, Features, State, TrainData
from rankloom_plugins.tabular.number_features import FourierFeatures, QuantileFeatures
from rankloom_plugins.tabular.plugin import NumberConfig
from rankloom_plugins.tabular.rows import is_missing, table_field

__all__ = ["NumberEncoder", "numbers"]


class NumberEncoder(nn.Module):
    """The standardised number through a hidden layer of ``(x, x²)``, or through quantile bins or
    Fourier features and a linear layer; ``dim`` outputs.

    Args:
        config: Settings.
        build: ``field`` must be an item or user field.
    """

    def __init__(self, config: NumberConfig, build: Build) -> None:
        super().__init__()
        self.field = table_field(build, "number")
        self.dim = config.dim
        self.clip = config.clip
        self.mean = 0.0
        self.std = 1.0
        self.features: QuantileFeatures | FourierFeatures | None = None
        if config.by == "quantiles":
            self.features = QuantileFeatures(config.bins)
        elif config.by == "fourier":
            self.features = FourierFeatures(
                config.frequencies, config.scale, build.seed, self.field.name
            )
        linears = [nn.Linear(2, config.dim), nn.Linear(config.dim, config.dim)]
        if self.features is not None:
            linears = [nn.Linear(self.features.width, config.dim)]
        generator = seeded(build.seed, "number", self.field.name)
        for linear in linears:
            nn.init.xavier_uniform_(linear.weight, generator=generator)
            nn.init.zeros_(linear.bias)
        hidden = [nn.GELU()] if self.features is None else []
        self.network = nn.Sequential(linears[0], *hidden, *linears[1:])

    def prepare(self, train: TrainData) -> None:
        """Take mean, standard deviation and quantiles over rows with training data."""
        raw = self._numbers(train.values(self.field.name))
        known = raw[~raw.isnan()]
        self.mean = float(known.mean()) if len(known) else 0.0
        spread = float(known.std(correction=0)) if len(known) else 0.0
        self.std = spread if spread > 0 else 1.0  # a constant says nothing: it becomes 0
        if self.features is not None:
            self.features.learn(self._standardised(known))

    def export_state(self) -> State:
        """Return mean, standard deviation and the edges of quantile bins."""
        edges = {}
        if isinstance(self.features, QuantileFeatures):
            edges = {"edges": self.features.edges}
        return State(tensors=edges, meta={"mean": self.mean, "std": self.std})

    def import_state(self, state: State) -> None:
        """Take them back."""
        self.mean, self.std = float(state.meta["mean"]), float(state.meta["std"])
        if isinstance(self.features, QuantileFeatures):
            self.features.edges = state.tensors["edges"]

    def collate(self, values: Sequence[Any]) -> Features:
        """Standardise in double precision: seconds since 1970 do not fit single precision.

        Returns:
            ``x [n]`` float32, 0 where missing (None, blank, NaN or infinite).

        Raises:
            DataError: A value is no number.
        """
        raw = self._numbers(values)
        present = ~raw.isnan()
        x = self._standardised(raw)
        return Features({"x": x.masked_fill(~present, 0.0).float()}, present)

    def precompute(self, features: Features) -> Features:
        """Everything trains: the input."""
        return features

    def forward(self, features: Features) -> Encoded:
        """Return vectors ``[n, dim]``."""
        x = features["x"]
        if self.features is not None:
            return Encoded(self.network(self.features(x)))
        return Encoded(self.network(torch.stack([x, x * x], dim=1)))

    def _standardised(self, raw: torch.Tensor) -> torch.Tensor:
        return ((raw - self.mean) / self.std).clamp(-self.clip, self.clip)

    def _numbers(self, values: Sequence[Any]) -> torch.Tensor:
        return numbers(values, "number", self.field.name)


def numbers(values: Sequence[Any], encoder: str, field: str) -> torch.Tensor:
    """``[n]`` float64, NaN where missing (None, blank, NaN or infinite).

    Raises:
        DataError: A value is no number.
    """
    found = [math.nan if is_missing(value) else _number(value, encoder, field) for value in values]
    raw = torch.tensor(found, dtype=torch.float64)
    return raw.masked_fill(raw.isinf(), torch.nan)


def _number(value: Any, encoder: str, field: str) -> float:
    try:
        return float(value.timestamp() if hasattr(value, "timestamp") else value)
    except (TypeError, ValueError):
        raise DataError(
            f"{encoder}: the value {value!r} of {field!r} is not a number. Correct it, or declare "
            "the field a category and use the encoder 'category'."
        ) from None
