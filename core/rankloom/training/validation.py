"""Judges a model on validation while it trains."""

from __future__ import annotations

import torch
from torch import Tensor

from rankloom.config import TrainingConfig
from rankloom.errors import ConfigError
from rankloom.pipeline.handle import ModelHandle
from rankloom.pipeline.phases import PhaseQueries
from rankloom.protocols import CandidateBatch

__all__ = ["Validator"]


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
        self.name, _, depth = settings.monitor.partition("@")
        self.k = int(depth) if depth.isdigit() else 10
        if self.name not in ("ndcg", "recall", "rmse"):
            raise ConfigError(
                f"training.monitor: {settings.monitor!r} cannot be watched while training. "
                f"Use ndcg@10, recall@10 or rmse."
            )

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """Return ``{monitor: value}``."""
        value = self._rmse() if self.name == "rmse" else self._ranking()
        return {self.monitor: value}

    def _rmse(self) -> float:
        total, count = 0.0, 0
        for block in self.queries.ratings(4096):
            predicted = self.handle.score(block.queries, block.candidates).values[:, 0]
            known = ~predicted.isnan()
            total += float(((predicted - block.values)[known] ** 2).sum())
            count += int(known.sum())
        return float((total / max(count, 1)) ** 0.5)

    def _ranking(self) -> float:
        found: list[Tensor] = []
        allowed = self.queries.phase.candidates
        items = torch.arange(len(allowed))
        for queries, targets, _ in self.queries.blocks(self.block):
            values = self.handle.score(queries, CandidateBatch(items)).values
            values = values.masked_fill(~allowed | values.isnan(), -torch.inf)
            values[queries.seen.row_ids(), queries.seen.values] = -torch.inf
            wanted = torch.zeros(values.shape, dtype=torch.bool)
            wanted[targets.row_ids(), targets.values] = True
            top = values.topk(min(self.k, values.shape[1]), dim=1)
            hits = wanted.gather(1, top.indices) & (top.values > -torch.inf)
            found.append(self._value(hits.double(), targets.lengths.double()))
        return float(torch.cat(found).mean())

    def _value(self, hits: Tensor, n_targets: Tensor) -> Tensor:
        if self.name == "recall":
            return hits.sum(1) / n_targets
        discount = 1 / torch.arange(2, hits.shape[1] + 2).double().log2()
        ideal = discount.cumsum(0)[n_targets.clamp(max=hits.shape[1]).long() - 1]
        return (hits * discount).sum(1) / ideal
