"""Reciprocal rank of the first target."""

from __future__ import annotations

import torch
from torch import Tensor

from rankloom.protocols import Build, RankedBlock
from rankloom_plugins.metrics.plugin import MrrConfig

__all__ = ["Mrr"]


class Mrr:
    """``1 / position`` of the first target among the first ``k``, 0 where there is none.

    Args:
        config: The metric has no settings.
        build: Not read.
    """

    name = "mrr"

    def __init__(self, config: MrrConfig, build: Build) -> None:
        self.config = config

    def per_query(self, block: RankedBlock, k: int) -> Tensor:
        hits = block.hits[:, :k].to(torch.float64)
        positions = torch.arange(1, hits.shape[1] + 1, dtype=torch.float64, device=hits.device)
        # The earliest hit has the largest reciprocal; an empty row has the maximum 0.
        padded = torch.cat([hits.new_zeros(hits.shape[0], 1), hits / positions], dim=1)
        return padded.amax(1)
