"""Judges a model on validation while it trains."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from rankloom.config import TrainingConfig
from rankloom.evaluation.ranking import RankingAccumulator
from rankloom.nn.slates import stable_topk
from rankloom.pipeline.handle import ModelHandle
from rankloom.pipeline.phases import PhaseQueries
from rankloom.protocols import Metric, ScoredCandidates, ValidationBlock
from rankloom.training.ranks import all_sum, rank_and_world

__all__ = ["Validator"]

Block = TypeVar("Block")

#: Length of the list that a metric without ``@k`` is taken at.
DEPTH = 10


class Validator:
    """Computes the monitored value: a ranking metric at k, or an error of predicted ratings.

    Args:
        handle: The model over its current item table.
        queries: The validation phase.
        settings: Names what is watched (``monitor``).
        metric: The ranking metric of that name; None: ``rmse`` or ``mae``.
        block: Queries at a time.
    """

    def __init__(
        self,
        handle: ModelHandle,
        queries: PhaseQueries,
        settings: TrainingConfig,
        metric: Metric | None,
        block: int,
    ) -> None:
        self.handle = handle
        self.queries = queries
        self.monitor = settings.monitor
        self.metric = metric
        self.block = block
        self.name, _, depth = settings.monitor.partition("@")
        self.k = int(depth or DEPTH)

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """Refresh the item table, then return ``{monitor: value}``, the same on all ranks."""
        self.handle.table.refresh()
        value = self._error() if self.metric is None else self._ranking(self.metric)
        return {self.monitor: value}

    def _error(self) -> float:
        squared = self.name == "rmse"
        sums = torch.zeros(2, dtype=torch.float64)
        low, high = self.queries.dataset.value_range
        for block in self._share(self.queries.ratings(4096)):
            predicted = self.handle.score(block.queries, block.candidates).values[:, 0]
            error = predicted.clamp(low, high).double() - block.values  # as `evaluate` does
            error = error.square() if squared else error.abs()
            known = ~error.isnan()
            sums += torch.stack([error[known].sum(), known.sum().double()])
        mean = self._mean(sums)
        return mean**0.5 if squared else mean

    def _ranking(self, metric: Metric) -> float:
        judge = RankingAccumulator([metric], [self.k], len(self.handle.table))
        blocks = self.queries.validation(self.block, seed=0)
        for block in self._share(iter(blocks)):
            judge.add(block.queries.users, self._first(block), block.targets)
        values = judge.result().values[f"{metric.name}@{self.k}"]
        return self._mean(torch.stack([values.sum(), values.new_tensor(float(len(values)))]))

    def _first(self, block: ValidationBlock) -> Tensor:
        """``[q, k]`` items with the highest scores, -1 where nothing is left."""
        scores = self.handle.score(block.queries, block.candidates)
        scored = ScoredCandidates(block.queries, block.candidates, scores)
        values, columns = stable_topk(scored.utilities(), self.k)
        return torch.where(values > -torch.inf, block.candidates.at(columns), -1)

    def _share(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Blocks of this rank: every user is judged once, by one of them."""
        rank, world = rank_and_world()
        return islice(blocks, rank, None, world)

    def _mean(self, sums: Tensor) -> float:
        """Mean over the users of all ranks; ``sums`` are values and users of this one."""
        total, count = all_sum(sums.to(self.handle.table.vectors.device)).tolist()
        return float(total / max(count, 1.0))
