"""Collects the values of ranking metrics block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rankloom.errors import DataError
from rankloom.evaluation.membership import check_items, check_targets, distinct, is_member
from rankloom.protocols.metric import Metric, RankedBlock
from rankloom.protocols.ragged import RaggedIndices

__all__ = ["RankingAccumulator", "RankingResult"]


@dataclass(frozen=True)
class RankingResult:
    """One value of each metric for each query.

    Attributes:
        values: ``{"ndcg@10": [n] float64}``.
        queries: ``[n]`` int64 ids of the queries (users), in the order of the values.
        coverage: ``{"coverage@10": share of the catalog shown to anybody in the first 10 slots}``.
    """

    values: Mapping[str, Tensor]
    queries: Tensor
    coverage: Mapping[str, float] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of queries."""
        return int(self.queries.shape[0])

    def mean(self, metric: str) -> float:
        """Return a metric's mean over queries, NaN without any.

        Raises:
            DataError: The metric was not measured.
        """
        if metric not in self.values:
            raise DataError(
                f"The metric {metric!r} was not measured. Measured: {', '.join(self.values)}. "
                "Add its name or its k to the evaluation's metrics."
            )
        return float(self.values[metric].mean())

    def means(self) -> dict[str, float]:
        """Return the mean of every metric, then coverage."""
        return {name: self.mean(name) for name in self.values} | dict(self.coverage)


class RankingAccumulator:
    """Judges slates in blocks of queries; memory is one block and the values themselves.

    Args:
        metrics: Judges; their names must differ.
        ks: Lengths of the list at which each metric is taken.
        n_items: Rows of the catalog, the denominator of coverage.

    Raises:
        DataError: No metric, no k, a k below 1, or two metrics of one name.
    """

    def __init__(self, metrics: Sequence[Metric], ks: Sequence[int], n_items: int) -> None:
        names = [metric.name for metric in metrics]
        if not names or len(set(names)) < len(names):
            raise DataError(f"Ranking needs metrics of different names, got {names}.")
        if not ks or min(ks) < 1:
            raise DataError(f"Ranking metrics need list lengths k of at least 1, got {list(ks)}.")
        self.metrics = list(metrics)
        self.ks = sorted(set(ks))
        self.n_items = n_items
        self._values: dict[str, list[Tensor]] = {
            f"{metric.name}@{k}": [] for metric in self.metrics for k in self.ks
        }
        self._queries: list[Tensor] = []
        self._shown = {k: torch.zeros(n_items, dtype=torch.bool) for k in self.ks}

    def add(self, query_ids: Tensor, slates_items: Tensor, targets: RaggedIndices) -> None:
        """Judge a block.

        Args:
            query_ids: ``[q]`` int64.
            slates_items: ``[q, k]`` int64 items, best first, -1 at empty slots; where it is
                narrower than k, the missing slots count as misses.
            targets: Items to be found, at least one a query; repeated ones count once.

        Raises:
            DataError: Sizes differ, a query has no target, an index lies outside the catalog, or a
                slate shows an item twice (its hits would count twice).
        """
        items = slates_items[:, : self.ks[-1]]
        self._check(query_ids, items, targets)
        wanted = distinct(targets, self.n_items)
        block = RankedBlock(items, is_member(items, wanted, self.n_items), wanted.lengths)
        for metric in self.metrics:
            for k in self.ks:
                values = metric.per_query(block, k).to("cpu", torch.float64)
                self._values[f"{metric.name}@{k}"].append(values)
        for k in self.ks:
            first = items[:, :k]
            self._shown[k][first[first >= 0].cpu()] = True
        self._queries.append(query_ids.cpu())

    def result(self) -> RankingResult:
        """Return everything added so far."""
        empty = torch.empty(0, dtype=torch.float64)
        return RankingResult(
            {name: torch.cat([empty, *parts]) for name, parts in self._values.items()},
            torch.cat([empty.long(), *self._queries]),
            {f"coverage@{k}": self._coverage(k) for k in self.ks},
        )

    def _coverage(self, k: int) -> float:
        return float(self._shown[k].sum()) / max(self.n_items, 1)

    def _check(self, query_ids: Tensor, items: Tensor, targets: RaggedIndices) -> None:
        q = int(query_ids.shape[0])
        if items.shape[0] != q or len(targets) != q:
            raise DataError(
                f"A block of {q} queries came with {items.shape[0]} slates and {len(targets)} rows "
                "of targets; they must be as many."
            )
        check_targets(query_ids, targets, self.n_items)
        check_items("slates", items, self.n_items, lowest=-1)
        ordered = items.sort(dim=1).values
        twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(1).nonzero()
        if twice.numel():
            raise DataError(
                f"The slate of query {int(query_ids[twice[0, 0]])} shows an item twice, so that a "
                "hit would count twice. The policy or the retriever repeats candidates."
            )
