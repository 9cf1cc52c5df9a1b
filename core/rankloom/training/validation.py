"""Judges a model on validation while it trains."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from rankloom.config import TrainingConfig
from rankloom.errors import ConfigError
from rankloom.pipeline.handle import ModelHandle
from rankloom.pipeline.phases import PhaseQueries
from rankloom.protocols import CandidateBatch
from rankloom.training.ranks import all_sum, rank_and_world

__all__ = ["Validator"]

Block = TypeVar("Block")


class Validator:
    """Computes the monitored value: ``ndcg@k``, ``recall@k`` or ``rmse``.

    Args:
        handle: The model over its current item table.
        queries: The validation phase.
        settings: Names what is watched (``monitor``).
        block: Queries at a time.
    """

    def __init__(
        self, handle: ModelHandle, queries: PhaseQueries, settings: TrainingConfig, block: int
    ) -> None:
        self.handle = handle
        self.queries = queries
        self.monitor = settings.monitor
        self.block = block
        values = queries.dataset.interactions.values
        given = values[~values.isnan()]
        self.value_range = (float(given.min()), float(given.max())) if len(given) else (None, None)
        self.name, _, depth = settings.monitor.partition("@")
        self.k = int(depth) if depth.isdigit() else 10
        if self.name not in ("ndcg", "recall", "rmse"):
            raise ConfigError(
                f"training.monitor: {settings.monitor!r} cannot be watched while training. "
                f"Use ndcg@10, recall@10 or rmse."
            )

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """Refresh the item table, then return ``{monitor: value}``, the same on all ranks."""
        self.handle.table.refresh()
        value = self._rmse() if self.name == "rmse" else self._ranking()
        return {self.monitor: value}

    def _rmse(self) -> float:
        sums = torch.zeros(2, dtype=torch.float64)
        for block in self._share(self.queries.ratings(4096)):
            predicted = self.handle.score(block.queries, block.candidates).values[:, 0]
            predicted = predicted.clamp(*self.value_range)  # as `evaluate` does
            error = (predicted.double() - block.values).square()
            known = ~error.isnan()
            sums += torch.stack([error[known].sum(), known.sum().double()])
        return float(self._mean(sums) ** 0.5)

    def _ranking(self) -> float:
        sums = torch.zeros(2, dtype=torch.float64)
        allowed = self.queries.phase.candidates
        items = torch.arange(len(allowed))
        for queries, targets, _ in self._share(self.queries.blocks(self.block)):
            values = self.handle.score(queries, CandidateBatch(items)).values
            values = values.masked_fill(~allowed | values.isnan(), -torch.inf)
            values[queries.seen.row_ids(), queries.seen.values] = -torch.inf
            wanted = torch.zeros(values.shape, dtype=torch.bool)
            wanted[targets.row_ids(), targets.values] = True
            top = values.topk(min(self.k, values.shape[1]), dim=1)
            hits = wanted.gather(1, top.indices) & (top.values > -torch.inf)
            found = self._value(hits.double(), targets.lengths.double())
            sums += torch.stack([found.sum(), found.new_tensor(float(len(found)))])
        return self._mean(sums)

    def _share(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Blocks of this rank: every user is judged once, by one of them."""
        rank, world = rank_and_world()
        return islice(blocks, rank, None, world)

    def _mean(self, sums: Tensor) -> float:
        """Mean over the users of all ranks; ``sums`` are values and users of this one."""
        total, count = all_sum(sums.to(self.handle.table.vectors.device)).tolist()
        return float(total / max(count, 1.0))

    def _value(self, hits: Tensor, n_targets: Tensor) -> Tensor:
        if self.name == "recall":
            return hits.sum(1) / n_targets
        discount = 1 / torch.arange(2, hits.shape[1] + 2).double().log2()
        ideal = discount.cumsum(0)[n_targets.clamp(max=hits.shape[1]).long() - 1]
        return (hits * discount).sum(1) / ideal
