"""What hangs on to a run: the feed's epoch, early stopping, the bar and the log's file."""

from __future__ import annotations

import csv
import logging
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, EarlyStopping, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger

from rankloom.training.module import EVERY, TrainingModule

__all__ = ["Bar", "Epochs", "Patience", "csv_logger", "quiet"]


def quiet() -> None:
    """Keep Lightning's notes on what it found out to itself."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning.*")
    for message in (".*treespec.*", ".*num_workers.*", ".*sync_dist.*"):
        warnings.filterwarnings("ignore", message=message)


def _own(module: pl.LightningModule) -> TrainingModule:
    assert isinstance(module, TrainingModule)
    return module


class Epochs(Callback):
    """Tells the feed its epoch and which part of each batch is this process's.

    Both are known only in the process that trains, after it was started.
    """

    def __init__(self, batches: Any) -> None:
        self.batches = batches

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Be quiet in this process too."""
        quiet()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say who we are."""
        self._tell("rank", trainer.global_rank)
        self._tell("world", trainer.world_size)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say which epoch it is, so that a resumed run shuffles as an unbroken one."""
        self._tell("epoch", trainer.current_epoch)

    def _tell(self, name: str, value: int) -> None:
        if hasattr(self.batches, name):
            setattr(self.batches, name, value)


class Patience(EarlyStopping):
    """Stops after so many *evaluations* without improvement.

    Lightning's own counts epochs: where not every epoch is judged, it would count the last value
    again and again.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run that had stopped does not train on when it is resumed."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the value, if there is a new one."""
        if _own(pl_module).judged == trainer.current_epoch:
            super().on_train_epoch_end(trainer, pl_module)


class Bar(TQDMProgressBar):
    """The progress bar, with the mean loss of the epoch so far."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=EVERY, leave=True)

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return what stands behind the bar; called when it is redrawn, not in every step."""
        items = super().get_metrics(trainer, pl_module)
        items.pop("v_num", None)
        module = _own(pl_module)
        items["loss"] = f"{module.mean_loss:.4f}"
        if module.history:
            items.update({k: f"{v:.4f}" for k, v in module.history[-1].items() if k != "epoch"})
        return items


def csv_logger(directory: Path, kept: int) -> CSVLogger:
    """Return the logger of ``directory/metrics.csv``: epoch, step, loss and validation values.

    Lightning deletes an earlier file, so the rows of a run that is resumed are carried over.

    Args:
        directory: The run's.
        kept: Rows up to this epoch (from 1) stay; 0: none.
    """
    path = directory / "metrics.csv"
    rows: list[dict[str, Any]] = []
    if kept and path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [
                {name: value for name, value in row.items() if value}
                for row in csv.DictReader(file)
                if (row.get("epoch") or "").isdigit() and int(row["epoch"]) <= kept
            ]
    logger = CSVLogger(directory, name="", version="")
    if rows:
        logger.experiment.metrics.extend(rows)
    return logger
