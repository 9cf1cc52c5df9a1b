"""Whether any target was found."""

from __future__ import annotations

import torch
from torch import Tensor

from rankloom.protocols import Build, RankedBlock
from rankloom_plugins.metrics.plugin import HitRateConfig

__all__ = ["HitRate"]


class HitRate:
    """1 if one of the first ``k`` items is a target, else 0.

    Args:
        config: The metric has no settings.
        build: Not read.
    """

    name = "hit_rate"

    def __init__(self, config: HitRateConfig, build: Build) -> None:
        self.config = config

    def per_query(self, block: RankedBlock, k: int) -> Tensor:
        return block.hits[:, :k].any(1).to(torch.float64)
