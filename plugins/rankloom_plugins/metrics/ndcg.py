"""Normalised discounted cumulative gain with binary gains."""

from __future__ import annotations

import torch
from torch import Tensor

from rankloom.protocols import Build, RankedBlock
from rankloom_plugins.metrics.plugin import NdcgConfig

__all__ = ["Ndcg"]


class Ndcg:
    """``DCG@k / IDCG(min(k, |T|))`` with the discount ``1 / log2(position + 1)``.

    Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques" (2002).

    Args:
        config: The metric has no settings.
        build: Not read.
    """

    name = "ndcg"

    def __init__(self, config: NdcgConfig, build: Build) -> None:
        self.config = config

    def per_query(self, block: RankedBlock, k: int) -> Tensor:
        hits = block.hits[:, :k].to(torch.float64)
        discounts = 1 / torch.arange(2, k + 2, dtype=torch.float64, device=hits.device).log2()
        # A list shorter than k keeps the ideal of a full one: the empty slots are misses.
        ideal = discounts.cumsum(0)[block.n_targets.clamp(max=k) - 1]
        return hits @ discounts[: hits.shape[1]] / ideal
