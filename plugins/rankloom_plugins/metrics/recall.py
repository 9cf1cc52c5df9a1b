"""Share of the targets that were found."""

from __future__ import annotations

import torch
from torch import Tensor

from rankloom.protocols import Build, RankedBlock
from rankloom_plugins.metrics.plugin import RecallConfig

__all__ = ["Recall"]


class Recall:
    """``hits@k / |T|``.

    Args:
        config: The metric has no settings.
        build: Not read.
    """

    name = "recall"

    def __init__(self, config: RecallConfig, build: Build) -> None:
        self.config = config

    def per_query(self, block: RankedBlock, k: int) -> Tensor:
        return block.hits[:, :k].sum(1).to(torch.float64) / block.n_targets
