"""The one LightningModule: it trains any module on a loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from rankloom.config import TrainingConfig
from rankloom.errors import ConfigError, RankloomError
from rankloom.training.feeds import Uncounted
from rankloom.training.ranks import rank_and_world
from rankloom.training.terms import LossFunction, combine

__all__ = ["EVERY", "OnEpoch", "TrainingModule", "Validate"]

#: Judges the module as it is now: ``{metric: value}``, the same on all ranks.
Validate = Callable[[], dict[str, float]]

#: Told the values of every epoch: ``epoch`` (from 1), ``loss``, and what was measured.
OnEpoch = Callable[[dict[str, float]], None]

#: Steps between two rows of the log, and between two refreshes of the progress bar.
EVERY = 50

#: Under this key a checkpoint holds what Lightning does not know of.
OWN = "rankloom"


class TrainingModule(pl.LightningModule):
    """Steps, epochs and their log, around a module and its loss.

    Randomness of an epoch (dropout, samplers) is a function of seed, epoch and rank alone, so that
    a resumed run draws what an unbroken one would have drawn.

    Args:
        model: What is trained.
        loss: Batch → loss.
        settings: Learning rate and the like.
        validate: Called after epochs, as the settings say; None: never.
        seed: Seed of every epoch's randomness.
        on_epoch: Told of every epoch, on rank 0 alone.

    Attributes:
        history: Values after each validation, with their ``epoch`` (from 1).
        judged: The last epoch (from 0) that was validated.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: LossFunction,
        settings: TrainingConfig,
        validate: Validate | None = None,
        seed: int = 0,
        on_epoch: OnEpoch | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.settings = settings
        self.validate = validate
        self.seed = seed
        self.on_epoch = on_epoch
        self.history: list[dict[str, float]] = []
        self.judged = -1
        self._sum: Tensor | None = None
        self._steps = 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, or AdamW where weights decay."""
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        if not parameters:
            raise ConfigError(
                "The model has tasks, but nothing in it trains. Give a frozen encoder 'dim' (a "
                "trained map), add a fusion or a query encoder with 'project: true', or remove "
                "'tasks' to use it as it is."
            )
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        # The fused kernel does the same arithmetic in one pass, but cannot be clipped under a
        # gradient scaler.
        fused = self.settings.gradient_clip is None
        if decay:
            return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=fused)
        return torch.optim.Adam(parameters, lr=rate, fused=fused)

    def on_train_epoch_start(self) -> None:
        """Start the epoch's sums."""
        self._sum, self._steps = None, 0

    def _seed_epoch(self) -> None:
        """Seed in the first step, as loaders draw from the global generator before it."""
        rank, world = rank_and_world()
        seed = ((self.seed * 1_000_003 + self.current_epoch) * world + rank) % 2**62
        torch.manual_seed(seed)
        draw = getattr(self.loss, "seed", None)
        if draw is not None:
            draw(seed)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        if not self._steps:
            self._seed_epoch()
        counted = not isinstance(batch, Uncounted)
        total, whole = combine(self.loss(batch if counted else batch.batch), counted)
        if rank_and_world()[1] > 1:
            # Every parameter takes part, so that DDP never waits for one that a mask left out.
            for parameter in self.model.parameters():
                if parameter.requires_grad:
                    total = total + 0.0 * parameter.sum()
        # Kept as a tensor: reading it would make the CPU wait for the device in every step.
        self._sum = whole if self._sum is None else self._sum + whole
        self._steps += 1
        if self._steps % EVERY == 0:
            self._write({})
        return total

    def _write(self, values: dict[str, float]) -> None:
        """Add a row to the run's log; rank 0 alone has one."""
        logger = self.trainer.logger
        if logger is not None and self.trainer.is_global_zero:
            row = {"epoch": self.current_epoch + 1, "loss": round(self.mean_loss, 6), **values}
            logger.log_metrics(row, self.global_step)

    def _epoch(self, values: dict[str, float]) -> None:
        """Write the row that closes an epoch, and tell of it."""
        self._write(values)
        if self.on_epoch is not None and self.trainer.is_global_zero:
            self.on_epoch({"epoch": self.current_epoch + 1, "loss": self.mean_loss, **values})

    @property
    def mean_loss(self) -> float:
        """Mean loss of the steps of this epoch so far, over all ranks; NaN before the first."""
        return float("nan") if self._sum is None else float(self._sum) / self._steps

    def on_train_epoch_end(self) -> None:
        """Judge the epoch where the schedule says so, and always the last one."""
        done, loss = self.current_epoch + 1, self.mean_loss
        if self._steps and not math.isfinite(loss):
            raise RankloomError(
                f"The loss of epoch {done} is {loss}: training has come apart. Lower "
                f"training.learning_rate, set training.gradient_clip (1.0), and look for values "
                f"that are not finite in what objectives and encoders compute."
            )
        self.log("loss", loss, logger=False)
        last = done == self.trainer.max_epochs
        if self.validate is None or (done % self.settings.evaluate_every and not last):
            self._epoch({})
            return
        values = self.validate()
        self._epoch(values)
        self.judged = self.current_epoch
        self.history.append({"epoch": float(done), **values})
        for name, value in values.items():
            self.log(name, value, logger=False, sync_dist=rank_and_world()[1] > 1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what was measured, as plain numbers."""
        history = [{name: float(value) for name, value in row.items()} for row in self.history]
        checkpoint[OWN] = {"history": history, "judged": self.judged}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back."""
        own = checkpoint.get(OWN, {})
        self.history = [dict(row) for row in own.get("history", [])]
        self.judged = int(own.get("judged", -1))
