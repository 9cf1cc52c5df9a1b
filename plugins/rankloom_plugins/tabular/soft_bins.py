"""A number as soft memberships in bins; nothing here trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rankloom.errors import NotFittedError
from rankloom.protocols import Build, Encoded, Features, State, TrainData
from rankloom_plugins.tabular.number import numbers
from rankloom_plugins.tabular.plugin import SoftBinsConfig
from rankloom_plugins.tabular.rows import table_field

__all__ = ["SoftBinsEncoder"]


class SoftBinsEncoder:
    """``exp(-(x - c)² / 2 w²)`` for centres ``c`` at equal steps over the training values' range.

    The range goes from the 1st to the 99th percentile, the width ``w`` is ``width`` times the
    spread of the training values, so that near numbers have like vectors. Made for what reads
    encoders without training them, such as a closed-form map.

    Args:
        config: Settings.
        build: ``field`` must be an item or user field.
    """

    def __init__(self, config: SoftBinsConfig, build: Build) -> None:
        self.field = table_field(build, "soft_bins")
        self.config = config
        self.dim = config.dim
        self.centres: Tensor | None = None
        self.spread = 1.0

    def prepare(self, train: TrainData) -> None:
        """Place the bins over rows with training data."""
        raw = numbers(train.values(self.field.name), "soft_bins", self.field.name)
        known = raw[~raw.isnan()]
        low, high, spread = 0.0, 1.0, 0.0
        if len(known):
            low, high = (float(v) for v in torch.quantile(known, known.new_tensor([0.01, 0.99])))
            spread = float(known.std(correction=0))
        self.spread = spread if spread > 0 else 1.0
        self.centres = torch.linspace(low, high, self.dim, dtype=torch.float64)

    def _fitted(self) -> Tensor:
        if self.centres is None:
            raise NotFittedError("soft_bins has no bins yet: call prepare first.")
        return self.centres

    def export_state(self) -> State:
        """Return the centres and the spread."""
        return State({"centres": self._fitted()}, {"spread": self.spread})

    def import_state(self, state: State) -> None:
        """Take them back."""
        self.centres, self.spread = state.tensors["centres"].double(), float(state.meta["spread"])

    def collate(self, values: Sequence[Any]) -> Features:
        """Compute memberships in double precision: ``vector [n, dim]`` float32, 0 where missing.

        Raises:
            DataError: A value is no number.
        """
        raw = numbers(values, "soft_bins", self.field.name)
        present = ~raw.isnan()
        away = (raw[:, None] - self._fitted()) / (self.config.width * self.spread)
        vector = torch.exp(-0.5 * away.square())
        return Features({"vector": vector.masked_fill(~present[:, None], 0.0).float()}, present)

    def precompute(self, features: Features) -> Features:
        """Nothing: the vectors are there."""
        return features

    def forward(self, features: Features) -> Encoded:
        """Return vectors ``[n, dim]``."""
        return Encoded(features["vector"])
