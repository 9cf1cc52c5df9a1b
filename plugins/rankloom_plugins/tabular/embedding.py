"""A trained vector for each id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rankloom.errors import ConfigError
from rankloom.nn.seeds import seeded
from rankloom.protocols import Build, Encoded, Features, State, TrainData
from rankloom_plugins.tabular.plugin import EmbeddingConfig
from rankloom_plugins.tabular.rows import table_field

__all__ = ["EmbeddingEncoder"]


class EmbeddingEncoder(nn.Module):
    """Looks an index up; ids without training data are missing.

    ``forward`` returns ``mask [n, 1]`` without tokens: True where the row is present. It is False
    for ids without training data and, while training, for the share ``id_dropout`` of the others;
    the tower joins it with the features' ``present``.

    Args:
        config: Settings.
        build: ``field`` must be ``item.id`` or ``user.id``; ``n_items`` or ``n_users`` rows.

    Raises:
        ConfigError: The field is no id.
    """

    known: Tensor

    def __init__(self, config: EmbeddingConfig, build: Build) -> None:
        super().__init__()
        self.field = table_field(build, "embedding")
        if self.field.type != "id":
            raise ConfigError(
                f"embedding: {self.field.name!r} is a {self.field.type} field, not an id. Use "
                "'category', 'multi_hot' or 'number' for it, or set field: id."
            )
        self.dim = config.dim
        self.id_dropout = config.id_dropout
        self._seed = build.seed
        self._allocate(build.n_items if self.field.side == "item" else build.n_users)

    def _allocate(self, rows: int) -> None:
        self.table = nn.Embedding(rows, self.dim)
        generator = seeded(self._seed, "embedding", self.field.name)
        nn.init.normal_(self.table.weight, std=0.02, generator=generator)
        self.register_buffer("known", torch.ones(rows, dtype=torch.bool))

    def prepare(self, train: TrainData) -> None:
        """Note which ids have training data."""
        known = train.known(self.field.side)
        if len(known) != len(self.known):
            self._allocate(len(known))
        self.known.copy_(known)

    def export_state(self) -> State:
        """Return the number of rows; weights are in the ``state_dict``."""
        return State(meta={"rows": len(self.known)})

    def import_state(self, state: State) -> None:
        """Size the table."""
        if int(state.meta["rows"]) != len(self.known):
            self._allocate(int(state.meta["rows"]))

    def collate(self, values: Sequence[Any]) -> Features:
        """Take contiguous indices (None and -1: missing).

        Returns:
            ``index [n]`` int64, 0 where missing; ``present`` is False there, for rows added after
            the fit and for ids without training data.
        """
        index = torch.tensor([-1 if v is None else int(v) for v in values], dtype=torch.long)
        known = self.known.cpu()
        inside = (index >= 0) & (index < len(known))
        index = torch.where(inside, index, torch.zeros_like(index))
        present = inside & known[index] if len(known) else inside
        return Features({"index": index}, present)

    def precompute(self, features: Features) -> Features:
        """Everything trains: the input."""
        return features

    def forward(self, features: Features) -> Encoded:
        """Return vectors ``[n, dim]``, zero where missing or dropped, and the ``mask [n, 1]``."""
        index = features["index"]
        if not len(self.known):  # no id at all: nothing to look up
            zeros = self.table.weight.new_zeros(len(index), self.dim)
            return Encoded(zeros, mask=features.present[:, None])
        present = features.present & self.known[index]
        if self.training and self.id_dropout > 0:
            present = present & (torch.rand(index.shape, device=index.device) >= self.id_dropout)
        vectors = self.table(index)
        mask = present[:, None]
        return Encoded(torch.where(mask, vectors, torch.zeros_like(vectors)), mask=mask)
