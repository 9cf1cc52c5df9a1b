"""Scores for items that nobody has touched: a closed-form map from content to another scorer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import torch
from torch import Tensor

from rankloom.data.histories import training_queries
from rankloom.errors import ConfigError, DataError, NotFittedError, did_you_mean
from rankloom.protocols import (
    Build,
    CandidateBatch,
    QueryBatch,
    Scorer,
    Scores,
    State,
    TrainData,
)
from rankloom_plugins.scorers.content import ContentSpace
from rankloom_plugins.scorers.plugin import RidgeMapConfig
from rankloom_plugins.scorers.ridge import MOST_ROWS, BlockRidge, RidgeMatrix, RidgeSettings
from rankloom_plugins.scorers.ridge_choice import (
    STRENGTHS,
    ColdNdcg,
    centred,
    choose,
    damped,
)

__all__ = ["RidgeMap"]

#: With a larger share than this the other scorer's score is taken as it is.
ALMOST = 0.95


class RidgeMap:
    """Ridge regression from what items are to the scores that another scorer gives them.

    Let ``S [q, u]`` be the other scorer's scores of the training items and ``X [u, d]`` their
    content (blocks scaled to equal size, times the root of their weights). An item with content
    ``x`` gets ``s̄ + (S - s̄) X (X'X + λ I)^-1 x``, with ``s̄`` the query's mean. Where ``S = Q V'``
    is an inner product (collaborative factors, id embeddings), this is the inner product of ``Q``
    with factors that a ridge regression predicts from content, so one form serves them all. Items
    that the other scorer knows keep its scores; with ``prior`` those it has seen little of come
    nearer to what the map says of them.

    With the quadratic kernel ``x'y + (x'y)²/4`` stands for ``x'y`` (kernel ridge regression), which
    is a linear map of features and of their pairs. ``λ``, the weights of the blocks, the kernel and
    the damping that are not given are chosen by cross-validation: training items are made cold in
    turn.

    Args:
        config: Settings.
        build: ``child`` makes the other scorer, ``model`` finds whose item encoders are read.

    Raises:
        ConfigError: There is no such model.
    """

    def __init__(self, config: RidgeMapConfig, build: Build) -> None:
        if build.model is None:
            raise ConfigError(
                "ridge_map reads the item encoders of a model, but the pipeline has none. Add one "
                "under 'models:' ({items: {encoders: ...}} is enough) and name it: model: NAME."
            )
        self.config = config
        self.base: Scorer = build.child("scorer", config.of)
        self.source = build.model(config.model, None)
        self.settings = self._given()
        self.space = ContentSpace()
        self.universe = torch.zeros(0, dtype=torch.long)
        self.map = RidgeMatrix({})
        self._own = torch.zeros(0)

    # -- learning ---------------------------------------------------------------------------------

    def fit(self, train: TrainData) -> None:
        """Learn the map on the training universe.

        Raises:
            ConfigError: ``weights`` names no encoder of the model.
            DataError: No training item has any content.
        """
        self.universe = train.universe.nonzero()[:, 0]
        counts = torch.bincount(train.interactions.items[train.positive], minlength=train.n_items)
        # The share that the other scorer's score has in an item's, [n_items].
        self._own = counts / (counts + self.config.prior).clamp(min=1e-9)
        parts = self.source.parts()
        self._check_weights(list(parts))
        self.space = ContentSpace.learn(parts, self.universe)
        blocks = self.space.blocks(parts, self.universe)
        if not any(bool(block.any()) for block in blocks.values()):
            raise DataError(
                f"ridge_map: the encoders {', '.join(blocks)} say the same of every training item. "
                "Look at their fields, or name a model whose encoders say more."
            )
        self._check_size()
        queries = training_queries(train, self.config.max_queries)
        self.settings = self._chosen(blocks, train, queries)
        _, moved, _ = centred(self._base(queries, self.universe))
        scale = damped(moved, self.settings.damping)
        self.map = BlockRidge(blocks).matrix(self.settings, scale)

    def _given(self) -> RidgeSettings:
        """Return the settings as far as they are given."""
        config = self.config
        strength = STRENGTHS[0] if config.l2 is None else config.l2
        kernel = config.kernel or "linear"
        return RidgeSettings(strength, config.weights or {}, kernel, config.damping or 0.0)

    def _base(self, queries: QueryBatch, items: Tensor) -> Tensor:
        return self.base.score(queries, CandidateBatch(items)).values

    def _check_size(self) -> None:
        n = len(self.universe)
        if self.config.kernel == "quadratic" and n > MOST_ROWS:
            raise ConfigError(
                f"ridge_map: kernel 'quadratic' keeps a square matrix of the training items, which "
                f"are {n:,}; it is for {MOST_ROWS:,} at most. Use 'linear', or leave it out."
            )

    def _check_weights(self, names: list[str]) -> None:
        for name in self.config.weights or {}:
            if name not in names:
                raise ConfigError(
                    f"ridge_map: 'weights' names {name!r}, but the model's item encoders are "
                    f"{', '.join(names)}.{did_you_mean(name, names)}"
                )

    def _chosen(
        self, blocks: Mapping[str, Tensor], train: TrainData, queries: QueryBatch
    ) -> RidgeSettings:
        """Choose what is not given by making training items cold in turn."""
        config, start = self.config, self._given()
        searched = ("l2", "weights", "kernel", "damping")
        free = [name for name in searched if getattr(config, name) is None]
        if len(self.universe) < 2 * config.folds or not free:
            return start  # too few to make some of them cold
        folds, k = config.folds, config.k
        value = ColdNdcg(blocks, self.universe, self._base, queries, folds, k, train.seed)
        return choose(start, value, free)

    def knows(self, items: Tensor) -> Tensor:
        """Return bool of ``items``' shape: the other scorer has learned of the item."""
        return self._share(items) > 0

    def _share(self, items: Tensor) -> Tensor:
        """Return what the other scorer's score counts in each item's, of ``items``' shape."""
        at = items.clamp(min=0, max=max(len(self._own) - 1, 0))
        return torch.where(items == at, self._own[at], torch.zeros_like(self._own[at]))

    # -- answering --------------------------------------------------------------------------------

    def extend(self, n_items: int) -> None:
        """Nothing: what an item is says its model, and the map is the same."""

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        """Score candidates ``[q, n]``; NaN where the other scorer knows nothing of the query.

        Raises:
            NotFittedError: ``fit`` was not called.
        """
        if not len(self.universe):
            raise NotFittedError("ridge_map knows no items yet: call fit first.")
        at = candidates.items.clamp(min=0)
        share = self._share(at)
        share = torch.where(share > ALMOST, torch.ones_like(share), share)
        distinct = torch.unique(at[share < 1])
        whole = self.base.score(queries, candidates)
        if not len(distinct):
            return whole
        if candidates.whole:  # its columns are the catalog's: what the map needs is there
            base = whole.values[:, self.universe]
        else:
            base = self.base.score(queries, CandidateBatch(self.universe)).values
        mapped = self._mapped(base, distinct)
        column = torch.searchsorted(distinct, at).clamp(max=len(distinct) - 1)
        rows = column.expand(len(queries), -1)
        picked = mapped[:, column] if candidates.shared else mapped.gather(1, rows)
        # Where one of the two says nothing, the other speaks alone.
        mixed = torch.where(share > 0, whole.values, picked)
        between = (share > 0) & (share < 1) & ~picked.isnan() & ~whole.values.isnan()
        values = torch.where(between, share * whole.values + (1 - share) * picked, mixed)
        return Scores(torch.where(share >= 1, whole.values, values), whole.scale)

    def _mapped(self, base: Tensor, items: Tensor) -> Tensor:
        """``[q, m]`` scores of items that the other scorer does not know."""
        mean, moved, nothing = centred(base)
        parts = self.source.parts()
        n = len(next(iter(parts.values()))[1])
        there = items < n  # others came after the model's table was made
        rows = items.clamp(max=n - 1)
        out = mean.expand(-1, len(items)).clone()
        known = torch.zeros_like(there)
        contents = {name: block.float() for name, block in self.space.blocks(parts, rows).items()}
        out += moved @ self.map.operator(contents)
        for name in contents:
            known |= parts[name][1][rows] & there
        return out.masked_fill(nothing | ~known, torch.nan)

    def export_state(self) -> State:
        """Return the map, the scales of content and the chosen settings."""
        space, found = self.space.export_state(), self.map
        tensors = {f"map.{name}": part for name, part in found.maps.items()}
        tensors |= {f"rows.{name}": part for name, part in found.rows.items()}
        tensors |= {} if found.inverse is None else {"inverse": found.inverse}
        tensors |= {"universe": self.universe, "own": self._own, **space.tensors}
        settings = {**asdict(self.settings), "weights": dict(self.settings.weights)}
        return State(tensors, {"settings": settings, "shares": dict(found.shares), **space.meta})

    def import_state(self, state: State) -> None:
        """Take them back."""
        self.settings = RidgeSettings(**state.meta["settings"])
        self.space = ContentSpace.from_state(state)
        self.universe, self._own = state.tensors["universe"], state.tensors["own"]
        self.map = RidgeMatrix(
            _named("map.", state),
            state.tensors.get("inverse"),
            _named("rows.", state),
            dict(state.meta["shares"]),
        )


def _named(prefix: str, state: State) -> dict[str, Tensor]:
    tensors = state.tensors
    return {name.removeprefix(prefix): tensors[name] for name in tensors if name.startswith(prefix)}
