"""Mean average precision."""

from __future__ import annotations

import torch
from torch import Tensor

from rankloom.protocols import Build, RankedBlock
from rankloom_plugins.metrics.plugin import MapConfig

__all__ = ["MeanAveragePrecision"]


class MeanAveragePrecision:
    """Precision at each target found among the first ``k``, summed, over ``min(k, |T|)``.

    Some libraries divide by the number of targets *found* instead, which rewards a list for
    missing targets; the two agree where all targets are found.

    Args:
        config: The metric has no settings.
        build: Not read.
    """

    name = "map"

    def __init__(self, config: MapConfig, build: Build) -> None:
        self.config = config

    def per_query(self, block: RankedBlock, k: int) -> Tensor:
        hits = block.hits[:, :k].to(torch.float64)
        positions = torch.arange(1, hits.shape[1] + 1, dtype=torch.float64, device=hits.device)
        found = (hits * hits.cumsum(1) / positions).sum(1)
        return found / block.n_targets.clamp(max=k)
