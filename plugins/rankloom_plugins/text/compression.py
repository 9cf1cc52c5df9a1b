"""Smaller text encoders: shorter vectors, and matrices in 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankloom.nn.text import Run, TextModel

__all__ = ["Reduction", "int8_run"]


class Reduction(nn.Module):
    """Shorter vectors.

    ``truncate`` keeps the first numbers, ``pca`` the main axes of the training items' vectors about
    their mean, ``whiten`` those axes with equal spread; the result has length 1.

    Args:
        width: Width of the vectors.
        dim: Width of the result.
        method: How.
    """

    mean: Tensor
    axes: Tensor

    def __init__(self, width: int, dim: int, method: Literal["truncate", "pca", "whiten"]) -> None:
        super().__init__()
        self.method = method
        self.dim = dim
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("axes", torch.eye(width, dim))

    def learn(self, vectors: Tensor) -> None:
        """Find the axes of training items' vectors ``[u, width]``; too few of them add none."""
        if self.method == "truncate" or not len(vectors):
            return
        rows = vectors.double()
        mean = rows.mean(0)
        _, sizes, axes = torch.linalg.svd(rows - mean, full_matrices=False)
        rank = min(self.dim, len(sizes))
        axes = axes[:rank]
        axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()  # one of two signs
        if self.method == "whiten":
            spread = sizes[:rank] / max(len(rows) - 1, 1) ** 0.5
            axes = axes / spread.clamp(min=1e-3 * float(sizes[0]) / len(rows) ** 0.5)[:, None]
        found = torch.zeros_like(self.axes)
        found[:, :rank] = axes.T.to(found)
        self.mean.copy_(mean)
        self.axes.copy_(found)

    def forward(self, vectors: Tensor) -> Tensor:
        """Map ``[n, width]`` to ``[n, dim]`` of length 1."""
        return F.normalize((vectors - self.mean) @ self.axes, dim=1)


def int8_run(model: TextModel, directory: Path) -> Run:
    """Return the network with its matrices in 8 bits, exported once and kept.

    Args:
        model: The text model.
        directory: Where the exported network is kept, under the digest of the weights.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        ConfigError: The architecture cannot be exported.
    """
    from rankloom.nn.onnx import OnnxNetwork, quantized

    return OnnxNetwork(quantized(model, directory))
