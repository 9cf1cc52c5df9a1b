"""Weights of a blend, chosen on validation by coordinate search for NDCG."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from rankloom.protocols import CandidateBatch, QueryBatch, ValidationBlock, ValidationData
from rankloom_plugins.scorers.standardise import combine

__all__ = ["Judged", "calibrated", "choose_weights", "collect", "mean_ndcg"]

#: Candidates of each part that take part in the search for weights.
DEPTH = 200
#: Numbers of z-scores kept at once (float32: 256 MB).
BUDGET = 64 * 1024 * 1024
#: Steps of one weight: first coarse, then finer around the best.
STEPS: tuple[float, ...] = (0.1, 0.05, 0.025)

ScoreParts = Callable[[QueryBatch, CandidateBatch], Tensor]


@dataclass(frozen=True)
class Judged:
    """Standardised scores of a block of validation queries and which of them are right.

    Attributes:
        z: ``[parts, q, n]``; NaN where a part does not know.
        allowed: ``[q, n]`` bool.
        hits: ``[q, n]`` bool: targets among the allowed candidates.
        n_targets: ``[q]`` all targets, ranked or not.
    """

    z: Tensor
    allowed: Tensor
    hits: Tensor
    n_targets: Tensor

    def __len__(self) -> int:
        return len(self.n_targets)


def collect(score: ScoreParts, validation: ValidationData, limit: int) -> list[Judged]:
    """Score at most ``limit`` validation queries, fewer where memory would exceed the budget.

    Args:
        score: Returns z-scores ``[parts, q, n]``.
        validation: Queries with candidates and targets; where it has more than ``limit``, which
            ones are used is drawn with its generator.
        limit: Most queries.
    """
    judged: list[Judged] = []
    room = BUDGET
    for block in _subsample(validation, limit):
        found = _contenders(_judge(score, block))
        room -= found.z.numel()
        if room < 0 and judged:
            break
        judged.append(found)
    return judged


def _contenders(block: Judged) -> Judged:
    """Keep, for each query, the candidates among the first ``DEPTH`` of any part.

    Others hardly enter the first ten of a blend, and a search over a whole catalog is slow. A
    target that is dropped counts as not found, as it would far down the list.
    """
    parts, _, n = block.z.shape
    if n <= parts * DEPTH:
        return block
    usable = block.z.masked_fill(~block.allowed | block.z.isnan(), -torch.inf)
    first = usable.topk(DEPTH, dim=2).indices
    keep = first.permute(1, 0, 2).flatten(1).sort(dim=1).values
    allowed = block.allowed.gather(1, keep)
    allowed[:, 1:] &= keep[:, 1:] != keep[:, :-1]
    z = block.z.gather(2, keep.expand(parts, -1, -1))
    return Judged(z, allowed, block.hits.gather(1, keep) & allowed, block.n_targets)


def calibrated(judged: list[Judged], given: Tensor, k: int) -> Tensor:
    """Choose the weights of the parts that validation can judge.

    A part that scores nothing there (it reads free text, which no logged query has) keeps the share
    it was given; the others divide the rest.

    Args:
        judged: Validation queries.
        given: ``[parts]``, summing to 1.
        k: Depth of the NDCG.

    Returns:
        ``[parts]`` float32, summing to 1.
    """
    known = torch.stack([~block.z.isnan().all(2).all(1) for block in judged]).any(0)
    weights = given.to(torch.float64).clone()
    at = known.nonzero()[:, 0].to(weights.device)
    if not len(at):
        return weights.float()
    seen = [Judged(b.z[known], b.allowed, b.hits, b.n_targets) for b in judged]
    chosen = choose_weights(seen, len(at), k).to(weights)
    weights[at] = chosen * (1.0 - given[~known.to(given.device)].sum().to(weights))
    return weights.float()


def choose_weights(judged: list[Judged], parts: int, k: int) -> Tensor:
    """Return the weights ``[parts]``, summing to 1, with the highest mean NDCG@k found.

    Coordinate search from equal weights and from the best part alone: one weight at a time moves
    over a grid while the others keep their proportions, until none improves; then the grid is
    refined.
    The starts are among the candidates, so the result is never below the best part.
    """
    tried: dict[tuple[float, ...], float] = {}

    def value(weights: Tensor) -> float:
        key = tuple(round(w, 6) for w in weights.tolist())
        if key not in tried:
            tried[key] = mean_ndcg(judged, weights, k)
        return tried[key]

    starts = [torch.full((parts,), 1.0 / parts, dtype=torch.float64)]
    starts += list(torch.eye(parts, dtype=torch.float64))
    # A climb from every part alone costs much and rarely ends elsewhere than from the best one.
    alone = max(starts[1:], key=value)
    ends = [_climb(start, value, _grid(STEPS[0])) for start in (starts[0], alone)]
    best = max(ends, key=value)
    for coarse, step in pairwise(STEPS):
        best = _climb(best, value, partial(_around, reach=coarse, step=step))
    return best.float()


def mean_ndcg(judged: list[Judged], weights: Tensor, k: int) -> float:
    """Return the mean NDCG@k of a blend with ``weights [parts]`` over all judged queries.

    A query whose targets cannot be ranked counts 0.
    """
    total, count = 0.0, 0
    for block in judged:
        scores = combine(block.z, weights)
        scores = scores.masked_fill(~block.allowed | scores.isnan(), -torch.inf)
        top = scores.topk(min(k, scores.shape[1]), dim=1)
        right = block.hits.gather(1, top.indices) & top.values.isfinite()
        ranks = torch.arange(k, device=scores.device, dtype=torch.float64)
        gains = 1.0 / torch.log2(ranks + 2.0)
        ideal = gains.cumsum(0)[block.n_targets.clamp(min=1, max=k) - 1]
        total += float(((right * gains[: right.shape[1]]).sum(1) / ideal).sum())
        count += len(block)
    return total / max(count, 1)


def _climb(
    start: Tensor, value: Callable[[Tensor], float], grid: Callable[[float], list[float]]
) -> Tensor:
    best, improved = start, True
    while improved:
        improved = False
        for part in range(len(start)):
            options = [_moved(best, part, w) for w in grid(float(best[part]))]
            top = max(options, key=value)
            if value(top) > value(best) + 1e-9:
                best, improved = top, True
    return best


def _grid(step: float) -> Callable[[float], list[float]]:
    points = [i * step for i in range(round(1 / step) + 1)]
    return lambda weight: points


def _around(weight: float, reach: float, step: float) -> list[float]:
    n = round(reach / step)
    return [min(max(weight + i * step, 0.0), 1.0) for i in range(-n, n + 1)]


def _moved(weights: Tensor, part: int, weight: float) -> Tensor:
    """Set one weight; the others keep their proportions (equal ones if all were 0)."""
    rest = weights.clone()
    rest[part] = 0.0
    if float(rest.sum()) <= 0:
        rest = torch.ones_like(weights)
        rest[part] = 0.0
    moved = rest / rest.sum() * (1.0 - weight)
    moved[part] = weight
    return moved


def _subsample(validation: ValidationData, limit: int) -> Iterator[ValidationBlock]:
    """Yield blocks with ``limit`` random queries in all, or all queries if there are no more."""
    total = validation.n or sum(len(block.queries) for block in validation)
    keep = torch.ones(total, dtype=torch.bool)
    if total > limit:
        keep[:] = False
        keep[torch.randperm(total, generator=validation.generator)[:limit]] = True
    start = 0
    for block in validation:
        size = len(block.queries)
        rows = keep[start : start + size].nonzero().flatten().to(block.queries.device)
        start += size
        if len(rows) == size:
            yield block
        elif len(rows):
            yield _select(block, rows)


def _select(block: ValidationBlock, rows: Tensor) -> ValidationBlock:
    old = block.candidates
    candidates = CandidateBatch(
        old.items if old.shared else old.items[rows],
        None if old.mask is None else old.mask[rows],
        encoded=old.encoded if old.shared or old.encoded is None else old.encoded.select(rows),
        lookup=old.lookup,
    )
    targets = block.targets.select(rows)
    # The values of targets are not read here; NaN says so.
    values = block.values.new_full((len(targets.values),), torch.nan)
    return ValidationBlock(block.queries.select(rows), candidates, targets, values)


@torch.no_grad()
def _judge(score: ScoreParts, block: ValidationBlock) -> Judged:
    q = len(block.queries)
    allowed = block.candidates.allowed(q)
    rows, targets = block.targets.row_ids(), block.targets.values
    if block.candidates.shared:
        hits = torch.zeros_like(allowed)
        order = block.candidates.items.argsort()
        sorted_items = block.candidates.items[order]
        at = torch.searchsorted(sorted_items, targets).clamp(max=len(order) - 1)
        found = sorted_items[at] == targets
        hits[rows[found], order[at[found]]] = True
    else:
        matches = block.candidates.items[rows] == targets[:, None]
        counts = torch.zeros(allowed.shape, device=allowed.device)
        hits = counts.index_add_(0, rows, matches.float()) > 0
    z = score(block.queries, block.candidates)
    return Judged(z, allowed, hits & allowed, block.targets.lengths)
