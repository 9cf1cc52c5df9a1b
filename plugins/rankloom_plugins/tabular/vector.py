"""Embeddings that the data gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Never

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankloom.errors import ConfigError, DataError
from rankloom.nn.seeds import seeded
from rankloom.protocols import Build, Encoded, Features, State, TrainData
from rankloom_plugins.tabular.plugin import VectorConfig
from rankloom_plugins.tabular.rows import table_field

__all__ = ["VectorEncoder"]


class VectorEncoder(nn.Module):
    """A given vector: standardised, scaled to length 1, mapped, each where config says.

    Args:
        config: Settings.
        build: ``field`` must be a ``vector`` of items or users whose length is known.

    Raises:
        ConfigError: The field is no vector, or nothing says how long its vectors are.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: VectorConfig, build: Build) -> None:
        super().__init__()
        self.field = table_field(build, "vector")
        if self.field.type != "vector":
            raise ConfigError(
                f"vector: {self.field.name!r} is a {self.field.type} field. Declare it as a "
                f"vector in the source's fields, or use the encoder for {self.field.type} fields."
            )
        self.length = self.field.length
        if self.length < 1:
            raise ConfigError(
                f"vector: nothing says how long the vectors of {self.field.name!r} are (it has no "
                "value). Give the field's 'length' in the source, or leave the encoder out."
            )
        self.config = config
        self.dim = config.dim or self.length
        self.project: nn.Module = nn.Identity()
        if config.dim is not None:
            linear = nn.Linear(self.length, config.dim)
            generator = seeded(build.seed, "vector", self.field.name)
            nn.init.xavier_uniform_(linear.weight, generator=generator)
            nn.init.zeros_(linear.bias)
            self.project = linear
        self.register_buffer("mean", torch.zeros(self.length), persistent=False)
        self.register_buffer("std", torch.ones(self.length), persistent=False)

    def prepare(self, train: TrainData) -> None:
        """Take mean and standard deviation of every component over rows with training data."""
        if not self.config.standardize:
            return
        raw, present = self._raw(train.values(self.field.name))
        known = raw[present].double()
        if len(known):
            spread = known.std(0, correction=0)
            self.mean = known.mean(0).float()
            # A constant says nothing: it becomes 0.
            self.std = torch.where(spread > 1e-12, spread, torch.ones_like(spread)).float()

    def export_state(self) -> State:
        """Return means and standard deviations."""
        return State(tensors={"mean": self.mean, "std": self.std})

    def import_state(self, state: State) -> None:
        """Take them back."""
        self.mean, self.std = state.tensors["mean"], state.tensors["std"]

    def collate(self, values: Sequence[Any]) -> Features:
        """Check lengths, standardise and normalise.

        Returns:
            ``vector [n, length]`` float32, 0 where missing.

        Raises:
            DataError: A vector has another length, or a component that is no finite number.
        """
        vectors, present = self._raw(values)
        if self.config.standardize:
            vectors = (vectors - self.mean.cpu()) / self.std.cpu()
        if self.config.normalize:
            vectors = F.normalize(vectors, dim=1)
        return Features({"vector": vectors.masked_fill(~present[:, None], 0.0)}, present)

    def precompute(self, features: Features) -> Features:
        """Return the input: what is frozen is done."""
        return features

    def forward(self, features: Features) -> Encoded:
        """Return vectors ``[n, dim]``."""
        return Encoded(self.project(features["vector"]))

    def _raw(self, values: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """``[n, length]`` float32 and ``[n]`` bool: not missing."""
        present = torch.tensor([value is not None for value in values], dtype=torch.bool)
        rows = [self._row(value) for value in values if value is not None]
        out = torch.zeros(len(values), self.length)
        if rows:
            out[present] = torch.tensor(rows, dtype=torch.float32)
        bad = ~out.isfinite().all(1)
        if bad.any():
            self._refuse("has components that are not finite", int(bad.nonzero()[0]))
        return out, present

    def _row(self, value: Any) -> list[float]:
        if isinstance(value, str | bytes) or not hasattr(value, "__len__"):
            self._refuse(f"holds {value!r}, which is no list of numbers")
        if len(value) != self.length:
            self._refuse(f"has a vector of {len(value)} numbers, not {self.length}")
        try:
            return [float(part) for part in value]
        except (TypeError, ValueError):
            self._refuse("has components that are no numbers")

    def _refuse(self, what: str, row: int | None = None) -> Never:
        where = "" if row is None else f" (value {row + 1} of those encoded together)"
        raise DataError(
            f"vector: the field {self.field.name!r} {what}{where}. Give every row {self.length} "
            "numbers, as at fit time, or none at all where the vector is missing."
        )
