"""Mean of a history's item vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rankloom.protocols import Build, Encoded, Features, History
from rankloom_plugins.sequence.collation import collate_history
from rankloom_plugins.sequence.plugin import HistoryMeanConfig

__all__ = ["HistoryMeanEncoder"]


class HistoryMeanEncoder(nn.Module):
    """Mean over real positions, optionally weighted by centred values and projected.

    Args:
        config: Settings.
        build: ``dims["items"]`` is the width of the item vectors and of the queries.
    """

    def __init__(self, config: HistoryMeanConfig, build: Build) -> None:
        super().__init__()
        self.dim = build.dims["items"]
        self.max_length = config.max_length
        self.weight_by_value = config.weight_by_value
        self.project: nn.Module = nn.Identity()
        if config.project:
            linear = nn.Linear(self.dim, self.dim)
            generator = torch.Generator().manual_seed(build.seed)
            # Starts near the identity: an untrained projection must not undo the item space.
            nn.init.normal_(linear.weight, std=0.02, generator=generator)
            with torch.no_grad():
                linear.weight += torch.eye(self.dim)
            nn.init.zeros_(linear.bias)
            self.project = linear

    def collate(self, values: History) -> Features:
        """Crop to ``max_length`` and pad on the right; ``[q, t]`` tensors."""
        return collate_history(values, self.max_length)

    def forward(self, features: Features) -> Encoded:
        """Return the (weighted) mean of ``vectors [q, t, dim]``: ``[q, dim]``, no tokens.

        An empty history gives zeros; the weighted mean divides by the number of events, as the
        centred weights themselves sum to zero.
        """
        mask = features["mask"]
        weights = mask.to(features["vectors"].dtype)
        count = weights.sum(1, keepdim=True).clamp(min=1)
        if self.weight_by_value:
            weights = _centred(features["values"], mask).to(weights.dtype)
        mean = torch.einsum("qt,qtd->qd", weights / count, features["vectors"])
        present = features.present[:, None]
        return Encoded(torch.where(present, self.project(mean), torch.zeros_like(mean)))


def _centred(values: Tensor, mask: Tensor) -> Tensor:
    """Values less their row's mean; 0 at padding and where an event has no value."""
    known = mask & ~values.isnan()
    filled = values.masked_fill(~known, 0.0)
    mean = filled.sum(1, keepdim=True) / known.sum(1, keepdim=True).clamp(min=1)
    return (filled - mean).masked_fill(~known, 0.0)
