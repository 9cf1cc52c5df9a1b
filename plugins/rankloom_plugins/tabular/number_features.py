"""What a standardised number is turned into before a linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rankloom.nn.seeds import seeded

__all__ = ["FourierFeatures", "QuantileFeatures"]


class QuantileFeatures(nn.Module):
    """Piecewise-linear encoding over quantiles of the training values.

    Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning"
    (NeurIPS 2022), section 3.2: component t rises from 0 to 1 while the number passes through bin
    t; the first goes on below its bin and the last above it.

    Args:
        bins: Width of the result; equal quantiles make fewer bins, the rest stays 0.
    """

    edges: Tensor

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.width = bins
        self.register_buffer("edges", torch.tensor([-1.0, 1.0]), persistent=False)

    def learn(self, x: Tensor) -> None:
        """Take the quantiles of standardised training values ``[n]``."""
        if len(x):
            at = torch.linspace(0, 1, self.width + 1, dtype=torch.float64)
            edges = torch.unique_consecutive(torch.quantile(x.double(), at).float())
            if len(edges) > 1:
                self.edges = edges

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, bins]``."""
        low, high = self.edges[:-1], self.edges[1:]
        parts = (x[:, None] - low) / (high - low)
        least = torch.zeros_like(low)
        most = torch.ones_like(low)
        least[0], most[-1] = -torch.inf, torch.inf
        parts = torch.minimum(torch.maximum(parts, least), most)
        return nn.functional.pad(parts, (0, self.width - len(low)))


class FourierFeatures(nn.Module):
    """Sine and cosine of the number at fixed frequencies, drawn once from a normal law.

    Args:
        frequencies: How many.
        scale: Standard deviation of the frequencies, in turns a standard deviation of the number.
        seed: Decides the draw, with ``field``.
        field: Name of the field.
    """

    frequencies: Tensor

    def __init__(self, frequencies: int, scale: float, seed: int, field: str) -> None:
        super().__init__()
        self.width = 2 * frequencies
        drawn = torch.randn(frequencies, generator=seeded(seed, "frequencies", field))
        self.register_buffer("frequencies", drawn * scale)

    def learn(self, x: Tensor) -> None:
        """Learn nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, 2 * frequencies]``."""
        angles = 2 * torch.pi * x[:, None] * self.frequencies
        return torch.cat([angles.sin(), angles.cos()], dim=1)
