"""Share of the slots that hold a target."""

from __future__ import annotations

import torch
from torch import Tensor

from rankloom.protocols import Build, RankedBlock
from rankloom_plugins.metrics.plugin import PrecisionConfig

__all__ = ["Precision"]


class Precision:
    """``hits@k / k``; a list shorter than ``k`` is still divided by ``k``.

    Args:
        config: The metric has no settings.
        build: Not read.
    """

    name = "precision"

    def __init__(self, config: PrecisionConfig, build: Build) -> None:
        self.config = config

    def per_query(self, block: RankedBlock, k: int) -> Tensor:
        return block.hits[:, :k].sum(1).to(torch.float64) / k
