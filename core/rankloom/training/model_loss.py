"""The loss of a model: towers, scorers and objectives over one batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rankloom.pipeline.item_table import ItemTable
from rankloom.pipeline.model import Model, TaskRuntime
from rankloom.protocols import (
    CandidateBatch,
    Encoded,
    Features,
    History,
    QueryBatch,
    RaggedIndices,
    Scores,
    TrainBatch,
)
from rankloom.training.feeds import StepBatch
from rankloom.training.ranks import all_rows
from rankloom.training.terms import Term

__all__ = ["ModelLoss"]

#: Up to so many items the tower runs over the whole universe: finding the items of a step costs
#: more than encoding them all, unless an encoder says that it is ``expensive``.
SMALL_UNIVERSE = 4096


class ModelLoss:
    """Composes item tower, query tower and every task's objective into terms of a loss.

    Args:
        model: What is trained.
        table: Its item features.
        universe: ``[n_items]`` bool: no other item is encoded, drawn or counted.
    """

    def __init__(self, model: Model, table: ItemTable, universe: Tensor) -> None:
        self.model = model
        self.table = table
        self.universe = universe.nonzero()[:, 0]
        self.generator = torch.Generator()
        position = torch.full((len(universe),), -1, dtype=torch.long)
        position[self.universe] = torch.arange(len(self.universe))
        self.position = position
        catalog = any(task.objective.candidates == "catalog" for task in model.tasks)
        heavy = any(getattr(one, "expensive", False) for one in model.items.encoders.values())
        self.whole = catalog or (len(self.universe) <= SMALL_UNIVERSE and not heavy)
        self._features: Mapping[str, Features] = {}
        self._device: torch.device | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the generator out: every epoch seeds it anew, and its state cannot be shared."""
        return {**self.__dict__, "generator": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take everything back in another process."""
        self.__dict__.update(state, generator=torch.Generator())

    def seed(self, seed: int) -> None:
        """Seed the samplers."""
        self.generator.manual_seed(seed)

    def __call__(self, batch: StepBatch) -> list[Term]:
        """Return one term a task."""
        self._move(batch.targets.device)
        step = _Items(self, batch)
        queries, targets, values, positive = self._queries(batch, step)
        inside = self.position[targets] >= 0
        terms = []
        for task in self.model.tasks:
            counted = inside
            if task.objective.target == "rating":
                counted = inside & ~values.isnan()
            elif positive is not None:
                counted = inside & positive
            weights = counted.to(torch.float32)
            base = TrainBatch(queries, targets, values, weights)
            terms.append(self._term(task, base, step))
        return terms

    def _move(self, device: torch.device) -> None:
        """Keep what every step reads on the device of the batches."""
        if device == self._device:
            return
        self._device = device
        if self.whole:
            rows = self.universe.cpu()
            self._features = {
                name: features.select(rows).to(device)
                for name, features in self.table.features.items()
            }
        self.universe, self.position = self.universe.to(device), self.position.to(device)

    def features(self, rows: Tensor | None) -> Mapping[str, Features]:
        """Return the item features of ``rows``, or of the whole universe (None)."""
        if rows is None:
            return self._features
        at, device = rows.cpu(), rows.device
        return {name: f.select(at).to(device) for name, f in self.table.features.items()}

    def _queries(
        self, batch: StepBatch, step: _Items
    ) -> tuple[QueryBatch, Tensor, Tensor, Tensor | None]:
        queries, model = batch.queries, self.model
        table, position = step.encoded.vectors, step.position
        if not batch.sequence:
            encoded, _ = model.encode_queries(queries, table, position)
            return queries.with_encoded(encoded), batch.targets, batch.values, batch.positive
        vectors, rows, at = model.encode_positions(queries, table, position)
        n = len(rows)
        none = RaggedIndices(rows.new_zeros(0), rows.new_zeros(n + 1))
        # One query a position; each position's own history is already in its vector.
        history = History(none, batch.values[:0], none.values, none.values)
        encoded = Encoded(vectors)
        flat = QueryBatch(queries.users[rows], history, none, queries.times[rows], encoded)
        positive = None if batch.positive is None else batch.positive[at]
        return flat, batch.targets[at], batch.values[at], positive

    def _term(self, task: TaskRuntime, base: TrainBatch, step: _Items) -> Term:
        scorer = self.model.scorers[task.scorer]
        fields = self.model.scorer_fields.get(task.scorer)

        def score(candidates: CandidateBatch) -> Scores:
            queries, ready = base.queries, candidates.with_encoded(step.of(candidates.items))
            if fields is not None:
                queries, ready = fields.attach(queries, ready)
            scores: Scores = scorer.score(queries, ready)
            return scores

        batch = self._with_candidates(task, base)
        value: Tensor = task.objective.loss(batch, score)
        weight = getattr(task.objective, "weight", None)
        total = batch.weights.sum() if weight is None else weight(batch)
        return Term(value, total, task.weight)

    def _with_candidates(self, task: TaskRuntime, base: TrainBatch) -> TrainBatch:
        regime = task.objective.candidates
        if regime == "catalog":
            columns = self.position[base.targets].clamp(min=0)
            return base.with_candidates(CandidateBatch(self.universe), columns)
        if regime == "sampled" and task.sampler is not None:
            drawn = task.sampler.sample(base, task.negatives, self.generator)
            return base.with_candidates(drawn, None)
        if regime == "batch":
            # Only indices travel: every rank encodes the gathered items itself, so that gradients
            # reach the towers without going through other processes.
            items, start = all_rows(base.targets)
            columns = torch.arange(len(base), device=items.device) + start
            return base.with_candidates(CandidateBatch(items), columns)
        return base


class _Items:
    """Item encodings of one step: the whole universe, or what the step turns out to need."""

    def __init__(self, loss: ModelLoss, batch: StepBatch) -> None:
        self.loss = loss
        if loss.whole:
            self.position = loss.position
            self.encoded, _ = loss.model.items.encode(loss.features(None))
            return
        self.position = torch.full_like(loss.position, -1)
        seen = torch.cat([batch.queries.history.items.values, batch.targets])
        self.encoded = self._encode(torch.unique(seen))

    def of(self, items: Tensor) -> Encoded:
        """Return encodings of ``items``, of any shape; outside the universe they mean nothing."""
        if self.loss.whole and items is self.loss.universe:
            return self.encoded
        if not self.loss.whole:
            self._need(items)
        return _rows(self.encoded, self.position[items.clamp(min=0)].clamp(min=0))

    def _need(self, items: Tensor) -> None:
        wanted = items[items >= 0]
        missing = wanted[self.position[wanted] < 0]
        if len(missing):
            self.encoded = Encoded.cat(
                [self.encoded, self._encode(torch.unique(missing), self.encoded)]
            )

    def _encode(self, items: Tensor, before: Encoded | None = None) -> Encoded:
        items = items[items >= 0]
        items = items[self.loss.position[items] >= 0]
        start = 0 if before is None else len(before.vectors)
        encoded, _ = self.loss.model.items.encode(self.loss.features(items))
        self.position[items] = torch.arange(len(items), device=items.device) + start
        return encoded


def _rows(encoded: Encoded, rows: Tensor) -> Encoded:
    """``Encoded.select`` by F.embedding, whose backward is much cheaper than indexing's."""
    vectors = F.embedding(rows, encoded.vectors)
    return Encoded(
        vectors,
        None if encoded.tokens is None else encoded.tokens[rows],
        None if encoded.mask is None else encoded.mask[rows],
    )
