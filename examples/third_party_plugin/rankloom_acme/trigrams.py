"""Character trigrams, hashed."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import torch
from torch import nn

from rankloom.protocols import Build, Encoded, Features
from rankloom_acme.plugin import TrigramsConfig


class Trigrams(nn.Module):
    """Signed counts of hashed trigrams, scaled to length 1; nothing is trained.

    Args:
        config: Settings.
        build: Not used; a vocabulary would start here.
    """

    def __init__(self, config: TrigramsConfig, build: Build) -> None:
        super().__init__()
        self.config = config
        self.dim = config.dim

    def collate(self, values: Sequence[str | None]) -> Features:
        """Count the trigrams of each text: ``counts [n, dim]``."""
        counts = torch.zeros(len(values), self.dim)
        for row, value in enumerate(values):
            for code in self._hashes(value or ""):
                # The lowest bit is the sign: trigrams in one slot then cancel on average.
                counts[row, (code >> 1) % self.dim] += 1 - 2 * (code & 1)
        present = torch.tensor([bool(value) for value in values], dtype=torch.bool)
        return Features({"counts": counts}, present)

    def precompute(self, features: Features) -> Features:
        """Scale to length 1: ``vector [n, dim]``, which core caches under the fingerprint."""
        vector = nn.functional.normalize(features["counts"], dim=1)
        return Features({"vector": vector}, features.present)

    def forward(self, features: Features) -> Encoded:
        """Return ``[n, dim]``."""
        return Encoded(features["vector"])

    def fingerprint(self) -> str:
        """What the cached vectors depend on."""
        return f"acme.trigrams-1-{self.config.dim}-{self.config.lower}"

    def _hashes(self, text: str) -> list[int]:
        text = f" {text.lower() if self.config.lower else text} "
        return [zlib.crc32(text[at : at + 3].encode()) for at in range(len(text) - 2)]
