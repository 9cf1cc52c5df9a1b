"""A moment by its place in the day, the week and the year, and by its age."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rankloom.errors import ConfigError
from rankloom.nn.seeds import seeded
from rankloom.protocols import Build, Encoded, Features, State, TrainData
from rankloom_plugins.tabular.number import numbers
from rankloom_plugins.tabular.plugin import TimestampConfig
from rankloom_plugins.tabular.rows import table_field

__all__ = ["TimestampEncoder"]

_DAY = 86_400.0
#: Hour of the day, day of the week, day of the (mean Gregorian) year, in seconds.
PERIODS = (_DAY, 7 * _DAY, 365.2425 * _DAY)


class TimestampEncoder(nn.Module):
    """Fourier features of the calendar (UTC) and the standardised time, in a linear layer.

    Args:
        config: Settings.
        build: ``field`` must be a ``timestamp`` or ``number`` of items or users: seconds since
            1970.

    Raises:
        ConfigError: The field is of another type.
    """

    def __init__(self, config: TimestampConfig, build: Build) -> None:
        super().__init__()
        self.field = table_field(build, "timestamp")
        if self.field.type not in ("timestamp", "number"):
            raise ConfigError(
                f"timestamp: {self.field.name!r} is a {self.field.type} field. Declare it as a "
                "timestamp in the source's fields."
            )
        self.dim = config.dim
        self.harmonics = config.harmonics
        self.clip = config.clip
        self.mean, self.std = 0.0, 1.0
        self.linear = nn.Linear(2 * len(PERIODS) * config.harmonics + 1, config.dim)
        generator = seeded(build.seed, "timestamp", self.field.name)
        nn.init.xavier_uniform_(self.linear.weight, generator=generator)
        nn.init.zeros_(self.linear.bias)

    def prepare(self, train: TrainData) -> None:
        """Take mean and standard deviation over rows with training data."""
        raw = numbers(train.values(self.field.name), "timestamp", self.field.name)
        known = raw[~raw.isnan()]
        self.mean = float(known.mean()) if len(known) else 0.0
        spread = float(known.std(correction=0)) if len(known) else 0.0
        self.std = spread if spread > 0 else 1.0  # a constant says nothing: it becomes 0

    def export_state(self) -> State:
        """Return mean and standard deviation."""
        return State(meta={"mean": self.mean, "std": self.std})

    def import_state(self, state: State) -> None:
        """Take them back."""
        self.mean, self.std = float(state.meta["mean"]), float(state.meta["std"])

    def collate(self, values: Sequence[Any]) -> Features:
        """Compute the features, in double precision until they are small.

        Returns:
            ``x [n, 6 * harmonics + 1]`` float32, 0 where missing.

        Raises:
            DataError: A value is no time.
        """
        seconds = numbers(values, "timestamp", self.field.name)
        present = ~seconds.isnan()
        age = ((seconds - self.mean) / self.std).clamp(-self.clip, self.clip)
        x = torch.cat([calendar(seconds, self.harmonics), age[:, None]], dim=1)
        return Features({"x": x.masked_fill(~present[:, None], 0.0).float()}, present)

    def precompute(self, features: Features) -> Features:
        """Everything trains: the input."""
        return features

    def forward(self, features: Features) -> Encoded:
        """Return vectors ``[n, dim]``."""
        return Encoded(self.linear(features["x"]))


def calendar(seconds: Tensor, harmonics: int) -> Tensor:
    """Return sine and cosine of the place in the day, the week and the year.

    Args:
        seconds: ``[n]`` float64 since 1970, UTC.
        harmonics: Whole multiples of each frequency.

    Returns:
        ``[n, 6 * harmonics]`` float64.
    """
    turns = torch.stack([torch.remainder(seconds, period) / period for period in PERIODS], dim=1)
    steps = torch.arange(1, harmonics + 1, dtype=seconds.dtype)
    angles = (2 * math.pi * turns[:, :, None] * steps).flatten(1)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
