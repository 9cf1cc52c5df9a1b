"""Scores for items that nobody has touched: a closed-form map from content to another scorer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

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
from rankloom_plugins.scorers.ridge import BlockRidge, RidgeSettings
from rankloom_plugins.scorers.ridge_choice import (
    STRENGTHS,
    ColdNdcg,
    centred,
    choose,
    training_queries,
)

__all__ = ["RidgeMap"]


class RidgeMap:
    """Ridge regression from what items are to the scores that another scorer gives them.

    Let ``S [q, u]`` be the other scorer's scores of the training items and ``X [u, d]`` their
    content (blocks scaled to equal size, times the root of their weights). An item with content
    ``x`` gets ``s̄ + (S - s̄) X (X'X + λ I)^-1 x``, with ``s̄`` the query's mean. Where ``S = Q V'``
    is an inner product (collaborative factors, id embeddings), this is the inner product of ``Q``
    with factors that a ridge regression predicts from content, so one form serves them all. Items
    that the other scorer knows keep its scores.

    ``λ`` and the weights of the blocks that are not given are chosen by cross-validation: training
    items are made cold in turn.

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
        strength = STRENGTHS[0] if config.l2 is None else config.l2
        self.settings = RidgeSettings(strength, config.weights or {})
        self.space = ContentSpace()
        self.universe = torch.zeros(0, dtype=torch.long)
        self.maps: dict[str, Tensor] = {}
        self._known = torch.zeros(0, dtype=torch.bool)

    # -- learning ---------------------------------------------------------------------------------

    def fit(self, train: TrainData) -> None:
        """Learn the map on the training universe.

        Raises:
            ConfigError: ``weights`` names no encoder of the model.
            DataError: No training item has any content.
        """
        self.universe = train.universe.nonzero()[:, 0]
        self._known = train.universe.clone()
        parts = self.source.parts()
        self._check_weights(list(parts))
        self.space = ContentSpace.learn(parts, self.universe)
        blocks = self.space.blocks(parts, self.universe)
        if not any(bool(block.any()) for block in blocks.values()):
            raise DataError(
                f"ridge_map: the encoders {', '.join(blocks)} say the same of every training item. "
                "Look at their fields, or name a model whose encoders say more."
            )
        if self.config.l2 is None or (self.config.weights is None and len(blocks) > 1):
            self.settings = self._chosen(blocks, train)
        ridge = BlockRidge(blocks)
        whole = torch.split(ridge.matrix(self.settings).float(), ridge.widths, dim=1)
        self.maps = dict(zip(ridge.names, whole, strict=True))

    def _check_weights(self, names: list[str]) -> None:
        for name in self.config.weights or {}:
            if name not in names:
                raise ConfigError(
                    f"ridge_map: 'weights' names {name!r}, but the model's item encoders are "
                    f"{', '.join(names)}.{did_you_mean(name, names)}"
                )

    def _chosen(self, blocks: Mapping[str, Tensor], train: TrainData) -> RidgeSettings:
        """Choose what is not given by making training items cold in turn."""
        config = self.config
        start = RidgeSettings(
            STRENGTHS[0] if config.l2 is None else config.l2, config.weights or {}
        )
        if len(self.universe) < 2 * config.folds:
            return start  # too few to make some of them cold

        def base(queries: QueryBatch, items: Tensor) -> Tensor:
            return self.base.score(queries, CandidateBatch(items)).values

        queries = training_queries(train, config.max_queries)
        value = ColdNdcg(blocks, self.universe, base, queries, config.folds, config.k, train.seed)
        return choose(start, value, config.l2 is None, config.weights is None)

    def knows(self, items: Tensor) -> Tensor:
        """Return bool of ``items``' shape: the other scorer has learned of the item."""
        at = items.clamp(min=0, max=max(len(self._known) - 1, 0))
        return (items == at) & self._known[at]

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
        inside = self.knows(at)
        distinct = torch.unique(at[~inside])
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
        return Scores(torch.where(inside, whole.values, picked), whole.scale)

    def _mapped(self, base: Tensor, items: Tensor) -> Tensor:
        """``[q, m]`` scores of items that the other scorer does not know."""
        mean, moved, nothing = centred(base)
        parts = self.source.parts()
        n = len(next(iter(parts.values()))[1])
        there = items < n  # others came after the model's table was made
        rows = items.clamp(max=n - 1)
        out = mean.expand(-1, len(items)).clone()
        known = torch.zeros_like(there)
        for name, block in self.space.blocks(parts, rows).items():
            out += moved @ self.maps[name].to(moved) @ block.to(moved).T
            known |= parts[name][1][rows] & there
        return out.masked_fill(nothing | ~known, torch.nan)

    def export_state(self) -> State:
        """Return the map, the scales of content and the chosen settings."""
        space = self.space.export_state()
        tensors = {f"map.{name}": part for name, part in self.maps.items()}
        tensors |= {"universe": self.universe, "known": self._known, **space.tensors}
        settings = {"l2": self.settings.l2, "weights": dict(self.settings.weights)}
        return State(tensors, {"settings": settings, **space.meta})

    def import_state(self, state: State) -> None:
        """Take them back."""
        settings = state.meta["settings"]
        self.settings = RidgeSettings(float(settings["l2"]), dict(settings["weights"]))
        self.space = ContentSpace.from_state(state)
        self.universe, self._known = state.tensors["universe"], state.tensors["known"]
        names = self.space.scaling
        self.maps = {name: state.tensors[f"map.{name}"] for name in names}
