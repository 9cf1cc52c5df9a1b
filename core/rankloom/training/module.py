"""The one LightningModule: it trains a model on its tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from rankloom.config import TrainingConfig
from rankloom.pipeline.item_table import ItemTable
from rankloom.pipeline.model import Model, TaskRuntime
from rankloom.protocols import (
    CandidateBatch,
    Encoded,
    History,
    QueryBatch,
    RaggedIndices,
    Scores,
    TrainBatch,
)
from rankloom.training.feeds import StepBatch

__all__ = ["TrainingModule", "Validate"]

Validate = Callable[[], dict[str, float]]


class TrainingModule(pl.LightningModule):
    """Composes towers, scorers and objectives into one loss.

    Args:
        model: What is trained.
        table: Its item features.
        universe: ``[n_items]`` bool.
        settings: Learning rate and the like.
        validate: Judges the model on validation; called after each epoch with fresh vectors.
        seed: Seeds the samplers.
    """

    universe: Tensor
    position: Tensor

    def __init__(
        self,
        model: Model,
        table: ItemTable,
        universe: Tensor,
        settings: TrainingConfig,
        validate: Validate | None,
        seed: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.table = table
        self.settings = settings
        self.validate = validate
        self.sampling = torch.Generator().manual_seed(seed)
        self.history: list[dict[str, float]] = []
        self.register_buffer("universe", universe.nonzero()[:, 0], persistent=False)
        position = torch.full((len(universe),), -1, dtype=torch.long)
        position[self.universe] = torch.arange(len(self.universe))
        self.register_buffer("position", position, persistent=False)
        self._features: dict[str, Any] | None = None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, or AdamW where weights decay."""
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        if decay:
            return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
        return torch.optim.Adam(parameters, lr=rate)

    def training_step(self, batch: StepBatch, batch_idx: int) -> Tensor:
        """One step: item tower, query tower, then every task's objective."""
        vectors = self._item_vectors()
        queries, targets, values = self._queries(batch, vectors)
        columns = self.position[targets]
        inside = columns >= 0
        base = TrainBatch(queries, targets, values, inside.to(vectors.dtype), None, columns)
        total = vectors.new_zeros(())
        for task in self.model.tasks:
            loss = self._task_loss(task, base, vectors)
            total = total + task.weight * loss
        # Every parameter takes part, so that DDP never waits for one that a mask left out.
        total = total + 0.0 * sum(p.sum() for p in self._unused())
        self.log("loss", total.detach(), prog_bar=True, batch_size=len(targets))
        return total

    def _unused(self) -> list[nn.Parameter]:
        if self.trainer.world_size == 1:
            return []
        return [p for p in self.model.parameters() if p.requires_grad]

    def _item_vectors(self) -> Tensor:
        """Run the item tower over the training universe; returns ``[u, d]``."""
        if self._features is None:
            rows = self.universe.cpu()
            self._features = {
                name: features.select(rows).to(self.device)
                for name, features in self.table.features.items()
            }
        vectors, _ = self.model.items.encode(self._features)
        return vectors

    def _queries(self, batch: StepBatch, vectors: Tensor) -> tuple[QueryBatch, Tensor, Tensor]:
        queries = batch.queries
        if not batch.sequence:
            encoded, _ = self.model.encode_queries(queries, vectors, self.position)
            return queries.with_encoded(Encoded(encoded)), batch.targets, batch.values
        encoded, rows, at = self.model.encode_positions(queries, vectors, self.position)
        n = len(rows)
        none = RaggedIndices(rows.new_zeros(0), rows.new_zeros(n + 1))
        # One query a position; each position's own history is already in its vector.
        flat = QueryBatch(
            queries.users[rows],
            History.empty(n).to(rows.device),
            none,
            queries.times[rows],
            Encoded(encoded),
        )
        return flat, batch.targets[at], batch.values[at]

    def _task_loss(self, task: TaskRuntime, base: TrainBatch, vectors: Tensor) -> Tensor:
        scorer = self.model.scorers[task.scorer]
        position = self.position

        def score(candidates: CandidateBatch) -> Scores:
            if candidates.items is self.universe:
                encoded = vectors
            else:
                rows = position[candidates.items].clamp(min=0)
                encoded = nn.functional.embedding(rows, vectors)
            scores: Scores = scorer.score(base.queries, candidates.with_encoded(Encoded(encoded)))
            return scores

        batch = base
        regime = task.objective.candidates
        if regime == "catalog":
            columns = base.target_columns
            assert columns is not None
            batch = base.with_candidates(CandidateBatch(self.universe), columns.clamp(min=0))
        elif regime == "sampled" and task.sampler is not None:
            drawn = task.sampler.sample(base, task.negatives, self.sampling)
            batch = base.with_candidates(drawn, None)
        elif regime == "batch":
            batch = base.with_candidates(CandidateBatch(base.targets), None)
        loss: Tensor = task.objective.loss(batch, score)
        return loss

    def on_train_epoch_end(self) -> None:
        """Judge on validation with fresh item vectors, where the schedule says so."""
        done = self.current_epoch + 1
        if self.validate is None or done % self.settings.evaluate_every:
            return
        self.table.refresh()
        values = self.validate()
        self.history.append({"epoch": float(done), **values})
        for name, value in values.items():
            self.log(name, value, prog_bar=True, sync_dist=self.trainer.world_size > 1)
