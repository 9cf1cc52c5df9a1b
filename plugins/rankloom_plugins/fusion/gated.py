"""A learned, masked mixture of encodings."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rankloom.nn.seeds import seeded
from rankloom.protocols import Build, Encoded
from rankloom_plugins.fusion.masking import drop_modalities, linear, norm, stack_present, visible
from rankloom_plugins.fusion.plugin import GatedConfig

__all__ = ["GatedFusion"]


class GatedFusion(nn.Module):
    """``Σ_m g_m h_m`` with ``h_m = W_m norm(x_m) + b_m`` and ``g = softmax(v_m · h_m + c_m)``.

    The softmax runs over present encodings alone, so weights add up to one whatever is missing.
    Gates start equal.

    Args:
        config: Settings.
        build: ``dims`` names the encodings and their widths.
    """

    def __init__(self, config: GatedConfig, build: Build) -> None:
        super().__init__()
        self.names = list(build.dims)
        self.dim = config.dim
        self.modality_dropout = config.modality_dropout
        generator = seeded(build.seed, "gated", *self.names)
        self.projections = nn.ModuleList()
        for name in self.names:
            width = build.dims[name]
            layer = linear(width, config.dim, generator)
            self.projections.append(nn.Sequential(norm(width, config.normalize), layer))
        if len(self.names) > 1:  # one alone always has weight one: a gate could not learn
            self.gate = nn.Parameter(torch.zeros(len(self.names), config.dim))
            self.gate_bias = nn.Parameter(torch.zeros(len(self.names)))

    def weights(self, hidden: Tensor, present: Tensor) -> Tensor:
        """Gate weights.

        Args:
            hidden: ``[n, m, dim]``.
            present: ``[n, m]`` bool.

        Returns:
            ``[n, m]``, adding up to one over present encodings, zero elsewhere.
        """
        if len(self.names) == 1:
            return present.to(hidden.dtype)
        logits = torch.einsum("nmd,md->nm", hidden, self.gate) + self.gate_bias
        # A finite filler: a row of -inf alone would be NaN, forwards and backwards.
        filled = logits.masked_fill(~present, torch.finfo(logits.dtype).min)
        return filled.softmax(1) * present

    def forward(self, encoded: Mapping[str, Encoded], present: Mapping[str, Tensor]) -> Encoded:
        """Fuse: vectors ``[n, dim]``, zero where nothing is present."""
        shown = stack_present(present, self.names)
        if self.training and self.modality_dropout > 0:
            shown = drop_modalities(shown, self.modality_dropout)
        parts = visible(encoded, shown, self.names)
        hidden = torch.stack(
            [project(part) for project, part in zip(self.projections, parts, strict=True)], dim=1
        )
        return Encoded(torch.einsum("nm,nmd->nd", self.weights(hidden, shown), hidden))
