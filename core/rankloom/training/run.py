"""Run a LightningModule with checkpoints, early stopping and resume."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from torch.utils.data import DataLoader

from rankloom.config import TrainingConfig
from rankloom.errors import ConfigError, did_you_mean
from rankloom.training.feeds import Batches
from rankloom.training.module import TrainingModule

__all__ = ["Fitted", "check_trainer", "run"]


@dataclass(frozen=True)
class Fitted:
    """What a run ended with.

    Attributes:
        epochs: Epochs of the weights that were kept.
        trained: Epochs trained.
        best: Value of the monitored metric at the kept weights, or None.
        history: Values after each validation.
    """

    epochs: int
    trained: int
    best: float | None
    history: list[dict[str, float]]


class _Epochs(Callback):
    """Tells the feed which epoch it is, so that a resumed run shuffles as an unbroken one."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.batches.epoch = trainer.current_epoch


def check_trainer(options: Mapping[str, Any]) -> None:
    """Check the keys of ``trainer:`` against Lightning's Trainer.

    Raises:
        ConfigError: A key that Trainer does not have, or that Rankloom sets itself.
    """
    known = set(inspect.signature(pl.Trainer.__init__).parameters) - {"self"}
    own = {"max_epochs", "callbacks", "logger", "default_root_dir", "enable_checkpointing"}
    for key in options:
        if key in own:
            raise ConfigError(
                f"trainer.{key}: set by Rankloom itself (epochs stand under models.*.training)."
            )
        if key not in known:
            raise ConfigError(
                f"trainer.{key}: lightning.Trainer has no such option.{did_you_mean(key, known)}"
            )


def run(
    module: TrainingModule,
    batches: Batches,
    settings: TrainingConfig,
    options: Mapping[str, Any],
    directory: Path,
    *,
    progress: bool = True,
    resume: bool = True,
    epochs: int | None = None,
    callbacks: tuple[Callback, ...] = (),
) -> Fitted:
    """Train and keep the best weights.

    Args:
        module: What is trained.
        batches: Its feed.
        settings: Epochs, patience, monitor.
        options: Further Trainer options from config.
        directory: Checkpoints; ``last.ckpt`` there is resumed from.
        progress: Show a bar.
        resume: Continue an interrupted run.
        epochs: Train exactly so many, without validation.
        callbacks: The caller's own.

    Raises:
        ConfigError: A Trainer option is wrong.
    """
    check_trainer(options)
    monitored = module.validate is not None and epochs is None
    mode = "min" if settings.monitor.startswith(("rmse", "mae", "loss")) else "max"
    checkpoint = ModelCheckpoint(
        dirpath=directory,
        filename="best",
        save_last=True,
        monitor=settings.monitor if monitored else None,
        mode=mode,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    hooks: list[Callback] = [_Epochs(batches), checkpoint, *callbacks]
    if monitored and settings.patience:
        hooks.append(
            EarlyStopping(
                settings.monitor,
                patience=settings.patience,
                mode=mode,
                check_on_train_epoch_end=True,
            )
        )
    if progress:
        hooks.append(TQDMProgressBar(refresh_rate=50, leave=True))
    last = directory / "last.ckpt"
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning.*")
        warnings.filterwarnings("ignore", message=".*treespec.*")
        warnings.filterwarnings("ignore", message=".*num_workers.*")
        trainer = pl.Trainer(
            **{
                "accelerator": "auto",
                "enable_model_summary": False,
                "gradient_clip_val": settings.gradient_clip,
                **options,
            },
            max_epochs=epochs or settings.epochs,
            callbacks=hooks,
            logger=False,
            enable_progress_bar=progress,
            default_root_dir=directory,
        )
        batches.rank, batches.world = trainer.global_rank, trainer.world_size
        loader = DataLoader(batches, batch_size=None)
        ckpt = str(last) if resume and last.exists() else None
        trainer.fit(module, loader, ckpt_path=ckpt, weights_only=False if ckpt else None)
    return _keep_best(module, checkpoint, trainer, monitored)


def _keep_best(
    module: TrainingModule, checkpoint: ModelCheckpoint, trainer: pl.Trainer, monitored: bool
) -> Fitted:
    trained = trainer.current_epoch
    kept, best = trained, None
    path = Path(checkpoint.best_model_path) if monitored and checkpoint.best_model_path else None
    if path is not None and path.exists():
        saved = torch.load(path, map_location="cpu", weights_only=False)
        module.load_state_dict(saved["state_dict"])
        kept = int(saved["epoch"]) + 1
        best = None if checkpoint.best_model_score is None else float(checkpoint.best_model_score)
    module.to("cpu")
    module.eval()
    return Fitted(kept, trained, best, module.history)
