"""Concatenation of encodings."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rankloom.nn.seeds import seeded
from rankloom.protocols import Build, Encoded
from rankloom_plugins.fusion.masking import drop_modalities, linear, norm, stack_present, visible
from rankloom_plugins.fusion.plugin import ConcatConfig

__all__ = ["ConcatFusion"]


class ConcatFusion(nn.Module):
    """``W [x_1; …; x_m; present] + b``, with zeros for what is masked.

    Args:
        config: Settings.
        build: ``dims`` names the encodings and their widths.
    """

    def __init__(self, config: ConcatConfig, build: Build) -> None:
        super().__init__()
        self.names = list(build.dims)
        widths = [build.dims[name] for name in self.names]
        self.dim = sum(widths) if config.dim is None else config.dim
        self.modality_dropout = config.modality_dropout
        self.norms = nn.ModuleList(norm(width, config.normalize) for width in widths)
        generator = seeded(build.seed, "concat", *self.names)
        self.project = linear(sum(widths) + len(widths), self.dim, generator)

    def forward(self, encoded: Mapping[str, Encoded], present: Mapping[str, Tensor]) -> Encoded:
        """Fuse: vectors ``[n, dim]``, zero where nothing is present."""
        shown = stack_present(present, self.names)
        if self.training and self.modality_dropout > 0:
            shown = drop_modalities(shown, self.modality_dropout)
        parts = []
        for column, vectors in enumerate(visible(encoded, shown, self.names)):
            normal = self.norms[column](vectors)
            # Again: the normalisation's own bias must not stand where nothing is.
            parts.append(torch.where(shown[:, column, None], normal, torch.zeros_like(normal)))
        joined = torch.cat([*parts, shown.to(parts[0].dtype)], dim=1)
        fused = self.project(joined)
        return Encoded(torch.where(shown.any(1)[:, None], fused, torch.zeros_like(fused)))
