"""Towers: the encoders and the fusion of one side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rankloom.protocols import Encoded, Features

__all__ = ["Tower"]


class Tower(nn.Module):
    """Runs the encoders of one side and fuses what is present.

    Args:
        encoders: By name; history encoders among them on the query side.
        fusion: Needed as soon as there are two encoders.
    """

    def __init__(self, encoders: Mapping[str, Any], fusion: Any | None) -> None:
        super().__init__()
        self.names = list(encoders)
        self.encoders: dict[str, Any] = dict(encoders)
        self.fusion = fusion
        for name, encoder in encoders.items():
            if isinstance(encoder, nn.Module):
                self.add_module(f"encoder_{name}", encoder)
        single = self.encoders[self.names[0]].dim if self.names else 0
        self.dim: int = int(fusion.dim if fusion is not None else single)

    def fuse(
        self, encoded: Mapping[str, Encoded], present: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Fuse encodings of ``n`` rows.

        Returns:
            Vectors ``[n, dim]`` (zero where nothing is present) and ``[n]`` bool: any is present.
        """
        anything = torch.stack([present[name] for name in self.names]).any(0)
        if self.fusion is None:
            vectors = encoded[self.names[0]].vectors
        else:
            vectors = self.fusion(encoded, present).vectors
        # where, not a product: 0 × inf of a broken encoding would be NaN for everybody.
        return torch.where(anything[:, None], vectors, torch.zeros_like(vectors)), anything

    def run(self, name: str, features: Features) -> tuple[Encoded, Tensor]:
        """Run one encoder; returns its encoding and ``[n]`` bool where it is present."""
        encoded = self.encoders[name](features)
        present = features.present
        if encoded.tokens is None and encoded.mask is not None:  # id dropout masks rows
            present = present & encoded.mask[:, 0]
        return encoded, present

    def encode(self, features: Mapping[str, Features]) -> tuple[Tensor, Tensor]:
        """Encode ``n`` rows of raw-field features; returns vectors ``[n, dim]`` and presence."""
        pairs = {name: self.run(name, features[name]) for name in self.names}
        return self.fuse(
            {name: pair[0] for name, pair in pairs.items()},
            {name: pair[1] for name, pair in pairs.items()},
        )
