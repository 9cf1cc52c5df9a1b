"""Exact ranks of targets in blocks of queries, without sorting a catalog.

The order is by score, highest first; among equal scores the lower column comes first. A target's
score is read from the same product as its rivals', since another kernel may round differently and
so place a target before or behind its own copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from rankloom.errors import DataError
from rankloom.evaluation.membership import check_items, check_targets, distinct
from rankloom.evaluation.ranking import RankingResult
from rankloom.protocols.ragged import RaggedIndices

__all__ = ["UNRANKED", "evaluate_vectors", "iterate", "metrics_of_ranks", "ranks_of_targets"]

#: Rank of a target that cannot be shown: masked, excluded or without a score.
UNRANKED = torch.iinfo(torch.int64).max

_BLOCK_BYTES = 16 * 2**20  # float32 scores of one block of queries
_TARGETS, _COLUMNS = 1024, 4096  # a tile of comparisons: 16 MB where rows have to be copied


def iterate(n: int, block_size: int) -> Iterator[slice]:
    """Yield slices that cover ``range(n)``, each of at most ``block_size``.

    Raises:
        DataError: The block size is below 1.
    """
    if block_size < 1:
        raise DataError(f"A block must hold at least 1 query, got block_size = {block_size}.")
    for start in range(0, n, block_size):
        yield slice(start, min(start + block_size, n))


def ranks_of_targets(scores: Tensor, targets: RaggedIndices) -> Tensor:
    """Return ``[total]`` int64 ranks of the targets, 1 for the best, :data:`UNRANKED` where masked.

    Args:
        scores: ``[q, n]``; -inf or NaN at everything that may not be shown.
        targets: ``q`` rows of columns of ``scores``.
    """
    rows = targets.row_ids()
    own = scores[rows, targets.values]
    ranks = torch.empty_like(rows)
    one_each = bool((targets.lengths == 1).all())
    for part in iterate(int(rows.shape[0]), _TARGETS):
        picked = scores[part] if one_each else None
        ranks[part] = _ranks(scores, picked, rows[part], targets.values[part], own[part])
    return ranks.masked_fill_(own.isnan() | (own == -torch.inf), UNRANKED)


def _ranks(
    scores: Tensor, picked: Tensor | None, rows: Tensor, columns: Tensor, own: Tensor
) -> Tensor:
    """Ranks of some targets; ``picked`` is their rows as a view, if they lie side by side."""
    better, level = torch.zeros_like(rows), torch.zeros_like(rows)
    for tile in iterate(scores.shape[1], _COLUMNS):
        rivals = scores[rows, tile] if picked is None else picked[:, tile]
        # Adding bools up as int32 is several times faster than as int64, the default.
        better += (rivals > own[:, None]).sum(1, dtype=torch.int32)
        level += (rivals >= own[:, None]).sum(1, dtype=torch.int32)
    tied = (level - better > 1).nonzero()[:, 0]  # level with more than itself: rare
    better[tied] += _ties_before(scores, rows[tied], columns[tied], own[tied])
    return better + 1


def _ties_before(scores: Tensor, rows: Tensor, columns: Tensor, own: Tensor) -> Tensor:
    """How many lower columns have exactly the target's score."""
    before = torch.zeros_like(rows)
    for tile in iterate(scores.shape[1] if rows.numel() else 0, _COLUMNS):
        at = torch.arange(tile.start, tile.stop, device=scores.device)
        equal = (scores[rows, tile] == own[:, None]) & (at < columns[:, None])
        before += equal.sum(1, dtype=torch.int32)
    return before


def metrics_of_ranks(ranks: Tensor, targets: RaggedIndices, ks: Sequence[int]) -> dict[str, Tensor]:
    """Return ``{"ndcg@k": [q], "recall@k": [q], "mrr@k": [q]}`` in float64.

    NDCG is ``sum over found of 1 / log2(rank + 1)`` over the same for ranks 1 to min(k, |T|).

    Args:
        ranks: ``[total]`` of :func:`ranks_of_targets`.
        targets: Distinct targets of ``q`` queries, at least one each.
        ks: List lengths.
    """
    rows, q = targets.row_ids(), len(targets)
    position = ranks.to(torch.float64)
    discount = 1 / torch.arange(2, max(ks) + 2, device=ranks.device, dtype=torch.float64).log2()
    values: dict[str, Tensor] = {}
    for k in ks:
        found = (ranks <= k).to(torch.float64)
        zeros = found.new_zeros(q)
        ideal = discount.cumsum(0)[targets.lengths.clamp(max=k) - 1]
        gains = zeros.index_add(0, rows, found / (position + 1).log2())
        values[f"ndcg@{k}"] = gains / ideal
        values[f"recall@{k}"] = zeros.index_add(0, rows, found) / targets.lengths
        values[f"mrr@{k}"] = zeros.scatter_reduce(0, rows, found / position, "amax")
    return values


def evaluate_vectors(
    queries: Tensor,
    items: Tensor,
    targets: RaggedIndices,
    seen: RaggedIndices,
    ks: Sequence[int] = (10,),
    block: int | None = None,
    candidates: Tensor | None = None,
) -> RankingResult:
    """Rank the whole catalog by inner product and judge where the targets stand.

    Args:
        queries: ``[q, d]``.
        items: ``[n, d]``.
        targets: Items each query should find, at least one; repeated ones count once.
        seen: Items excluded from each query's ranking; a target among them cannot be found.
        ks: List lengths.
        block: Queries at a time; by default as many as keep the scores within 16 MB.
        candidates: ``[n]`` bool, items that may be ranked, or None for all.

    Returns:
        NDCG, recall and MRR at each k, queries numbered from 0; no coverage, since no list is made.

    Raises:
        DataError: The sizes differ, a query has no target, or an index lies outside the catalog.
    """
    n = int(items.shape[0])
    _check(queries, n, targets, seen, ks)
    size = block or max(1, _BLOCK_BYTES // (4 * max(n, 1)))
    values: dict[str, list[Tensor]] = {}
    for part in iterate(len(targets), size):
        at = torch.arange(part.start, part.stop, device=queries.device)
        wanted = distinct(targets.select(at), n)
        scores = queries[part] @ items.T
        hidden = seen.select(at)
        scores[hidden.row_ids(), hidden.values] = -torch.inf
        if candidates is not None:
            scores.masked_fill_(~candidates, -torch.inf)
        ranks = ranks_of_targets(scores, wanted)
        for name, found in metrics_of_ranks(ranks, wanted, ks).items():
            values.setdefault(name, []).append(found.cpu())
    return RankingResult(
        {name: torch.cat(parts) for name, parts in values.items()}, torch.arange(len(targets))
    )


def _check(
    queries: Tensor, n: int, targets: RaggedIndices, seen: RaggedIndices, ks: Sequence[int]
) -> None:
    if not ks or min(ks) < 1:
        raise DataError(f"Ranking metrics need list lengths k of at least 1, got {list(ks)}.")
    if not queries.shape[0] == len(targets) == len(seen):
        raise DataError(
            f"{queries.shape[0]} queries came with {len(targets)} rows of targets and {len(seen)} "
            "rows of seen items; they must be as many."
        )
    check_targets(torch.arange(len(targets)), targets, n)
    check_items("seen items", seen.values, n)
