"""Mean of the vectors of a value's categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from rankloom.nn.seeds import seeded
from rankloom.protocols import Build, Encoded, Features, State, TrainData
from rankloom_plugins.tabular.plugin import CategoryConfig, MultiHotConfig
from rankloom_plugins.tabular.rows import table_field
from rankloom_plugins.tabular.vocabulary import Vocabulary

__all__ = ["MultiHotEncoder"]


class MultiHotEncoder(nn.Module):
    """Vectors of categories seen in training, averaged over those that a value has.

    Args:
        config: Settings.
        build: ``field`` must be an item or user field.
    """

    def __init__(self, config: MultiHotConfig | CategoryConfig, build: Build) -> None:
        super().__init__()
        self.field = table_field(build, config.type)
        self.dim = config.dim
        self.min_count = config.min_count
        self._seed = build.seed
        self._take(Vocabulary())

    def _take(self, vocabulary: Vocabulary) -> None:
        """Make the vectors; row 0 is padding."""
        self.vocabulary = vocabulary
        weight = torch.empty(len(vocabulary) + 1, self.dim)
        nn.init.normal_(weight, std=0.02, generator=seeded(self._seed, "bag", self.field.name))
        self.weight = nn.Parameter(weight)
        with torch.no_grad():
            self.weight[0] = 0

    def prepare(self, train: TrainData) -> None:
        """Learn the vocabulary from rows with training data."""
        self._take(Vocabulary.learn(train.values(self.field.name), self.min_count))

    def export_state(self) -> State:
        """Return the vocabulary."""
        return State(meta={"vocabulary": self.vocabulary.names})

    def import_state(self, state: State) -> None:
        """Take the vocabulary and size the vectors."""
        self._take(Vocabulary(state.meta["vocabulary"]))

    def collate(self, values: Sequence[Any]) -> Features:
        """Number the categories.

        Returns:
            ``numbers [n, t]`` int64, 0 at padding; a value without a known category is missing.
        """
        rows = [torch.tensor(self.vocabulary.numbers(v), dtype=torch.long) for v in values]
        width = max((len(row) for row in rows), default=0)
        numbers = torch.zeros(len(rows), max(width, 1), dtype=torch.long)
        if width:
            padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
            numbers[:, :width] = padded
        return Features({"numbers": numbers}, numbers[:, 0] > 0)

    def precompute(self, features: Features) -> Features:
        """Everything trains: the input."""
        return features

    def forward(self, features: Features) -> Encoded:
        """Return the mean vectors ``[n, dim]``, zero where missing."""
        bags = F.embedding_bag(features["numbers"], self.weight, mode="mean", padding_idx=0)
        return Encoded(bags)
