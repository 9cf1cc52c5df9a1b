"""Settings of a ridge map, chosen by cross-validation over training items."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from rankloom.data.histories import taken, without
from rankloom.protocols import QueryBatch
from rankloom_plugins.scorers.calibration import Judged, mean_ndcg
from rankloom_plugins.scorers.ridge import BlockRidge, Kernel, RidgeSettings

__all__ = ["STRENGTHS", "ColdNdcg", "centred", "choose", "damped"]

#: Ridge strengths and weights of a block that are tried; the first strength is the default.
STRENGTHS = (3.0, 5.0, 1.0, 10.0, 0.3, 30.0)
WEIGHTS = (1.0, 0.3, 3.0, 0.0)
KERNELS: tuple[Kernel, ...] = ("linear", "quadratic")
DAMPINGS = (0.0, 0.5)
#: With more rows the quadratic kernel is not tried unasked: each try would take seconds.
FEW_ROWS = 2048
#: An improvement below this is chance.
MARGIN = 1e-4


def centred(base: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Take the mean out of each query's scores.

    Args:
        base: ``[q, u]``, NaN where unknown.

    Returns:
        The means ``[q, 1]``, scores less them (0 where unknown), and ``[q, 1]`` bool: all unknown.
    """
    unsure = base.isnan()
    counts = (~unsure).sum(1, keepdim=True)
    mean = base.masked_fill(unsure, 0.0).sum(1, keepdim=True) / counts.clamp(min=1)
    return mean, torch.where(unsure, torch.zeros_like(base), base - mean), counts == 0


def damped(moved: Tensor, power: float) -> Tensor:
    """Return the factors ``[u]`` that damp what varies much: ``(mean spread / spread)^power``.

    Much asked-for items vary most, and a regression of least squares would look at them alone;
    which of the new items will be asked for much, content says least of all.

    Args:
        moved: ``[q, u]`` targets about their means.
        power: 0: no damping.
    """
    spread = moved.double().square().mean(0).sqrt()
    ratio = spread.mean() / spread.clamp(min=1e-12)
    return ratio.clamp(0.05, 20.0) ** power


class _Fold:
    """Some training items made cold.

    Args:
        ridge: Over the others.
        new: Blocks of the cold ones.
        moved: ``[q, u]`` the other scorer's scores of the others, about their means.
        hits: ``[q, c]`` bool: what the users did with the cold ones.
    """

    def __init__(
        self, ridge: BlockRidge, new: Mapping[str, Tensor], moved: Tensor, hits: Tensor
    ) -> None:
        self.ridge, self.new, self.moved, self.hits = ridge, new, moved, hits
        self._products: dict[float, Tensor] = {}

    def scores(self, settings: RidgeSettings) -> Tensor:
        """Return ``[q, c]``: what the ridge says of the cold items."""
        if not self.ridge.linear_in_features(settings):
            return self._targets(settings) @ self.ridge.operator(settings, self.new)
        if settings.damping not in self._products:
            self._products[settings.damping] = self._targets(settings) @ self.ridge.x
        return self._products[settings.damping] @ self.ridge.weights(settings, self.new)

    def _targets(self, settings: RidgeSettings) -> Tensor:
        return self.moved * damped(self.moved, settings.damping).to(self.moved)


class ColdNdcg:
    """NDCG of training items made cold, in turn, as a function of the settings.

    The training items are divided into folds. Each fold's items are taken out of the queries'
    histories and out of the regression, and ranked among themselves; what the users did with them
    is to be found. (The other scorer itself was fitted with them: to fit it anew for every fold
    would cost more than it changes the choice.)

    Args:
        blocks: Content of the training items, ``[u, d]`` each.
        universe: ``[u]`` the training items.
        base: Returns the other scorer's scores ``[q, m]`` of given items.
        queries: Users with their whole training histories.
        folds: How many.
        k: Length of the list.
        seed: Of the division.
    """

    def __init__(
        self,
        blocks: Mapping[str, Tensor],
        universe: Tensor,
        base: Callable[[QueryBatch, Tensor], Tensor],
        queries: QueryBatch,
        folds: int,
        k: int,
        seed: int,
    ) -> None:
        self.names = list(blocks)
        self.n_rows = len(universe)
        self.k = k
        self._known: dict[tuple[float | str, ...], float] = {}
        n = len(universe)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        hits_of_all = taken(queries, universe)
        self._folds: list[_Fold] = []
        for fold in range(folds):
            cold = order[fold::folds].sort().values
            warm = torch.ones(n, dtype=torch.bool)
            warm[cold] = False
            asked = without(queries, universe[cold])
            _, moved, nothing = centred(base(asked, universe[warm]))
            hits = hits_of_all[:, cold]
            rows = hits.any(1) & ~nothing[:, 0]
            # Single precision is exact enough to choose by, and twice as fast.
            ridge = BlockRidge({name: block[warm].float() for name, block in blocks.items()})
            new = {name: block[cold].float() for name, block in blocks.items()}
            self._folds.append(_Fold(ridge, new, moved[rows], hits[rows]))

    def __call__(self, settings: RidgeSettings) -> float:
        """Return the NDCG, the mean over folds."""
        shares = settings.shares(self.names)
        weights = tuple(round(share, 9) for share in shares.values())
        key = (settings.l2, settings.kernel, settings.damping, *weights)
        if key not in self._known:
            found = []
            for fold in self._folds:
                everything = torch.ones_like(fold.hits)
                z = fold.scores(settings)[None]
                judged = Judged(z, everything, fold.hits, fold.hits.sum(1))
                found.append(mean_ndcg([judged], torch.ones(1, dtype=torch.float64), self.k))
            self._known[key] = sum(found) / len(found)
        return self._known[key]


def choose(start: RidgeSettings, value: ColdNdcg, free: Collection[str]) -> RidgeSettings:
    """Search coordinate by coordinate until nothing improves.

    Args:
        start: Where the search begins; what is not searched keeps its value.
        value: What is maximised.
        free: Names of the settings that are searched.
    """
    best, gain = start, 1.0
    while gain > MARGIN:
        before = value(best)
        for change in _changes(value, free):
            best = max([best, *change(best)], key=value)
        gain = value(best) - before
    return best


_Change = Callable[[RidgeSettings], list[RidgeSettings]]


def _changes(value: ColdNdcg, free: Collection[str]) -> Iterator[_Change]:
    """Return, for each coordinate, the settings with another value there."""
    names = value.names
    if "l2" in free:
        yield lambda now: [replace(now, l2=l2) for l2 in STRENGTHS]
    for name in names if "weights" in free and len(names) > 1 else []:
        yield partial(_reweighted, names=names, name=name)
    if "kernel" in free and value.n_rows <= FEW_ROWS:
        yield lambda now: [replace(now, kernel=kernel) for kernel in KERNELS]
    if "damping" in free:
        yield lambda now: [replace(now, damping=power) for power in DAMPINGS]


def _reweighted(now: RidgeSettings, names: list[str], name: str) -> list[RidgeSettings]:
    """Return the settings with other weights of a block; one block at least keeps some."""
    tried = [replace(now, weights={**now.weights, name: weight}) for weight in WEIGHTS]
    return [one for one in tried if any(one.weights.get(other, 1.0) for other in names)]
