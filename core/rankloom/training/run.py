"""Train a module on a loss, with checkpoints, early stopping, a log and resume."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from rankloom.config import TrainingConfig
from rankloom.training.callbacks import Bar, Epochs, Patience, csv_logger, quiet
from rankloom.training.checkpoints import check_fits, read_checkpoint
from rankloom.training.compiling import Compiled
from rankloom.training.module import OWN, OnEpoch, TrainingModule, Validate
from rankloom.training.terms import LossFunction
from rankloom.training.trainer_options import check_trainer, complete

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


class _Stream(IterableDataset[Any]):
    """Any iterable as a data set, so that its batches go through untouched."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self.batches = batches

    def __iter__(self) -> Any:
        return iter(self.batches)

    def __len__(self) -> int:
        if not isinstance(self.batches, Sized):
            raise TypeError("how many batches there will be is not known")  # as len() itself says
        return len(self.batches)


def run(
    module: nn.Module,
    loss: LossFunction,
    batches: Iterable[Any],
    settings: TrainingConfig,
    options: Mapping[str, Any],
    directory: Path,
    *,
    validate: Validate | None = None,
    seed: int = 0,
    progress: bool = True,
    resume: bool = True,
    epochs: int | None = None,
    callbacks: tuple[Callback, ...] = (),
    on_epoch: OnEpoch | None = None,
) -> Fitted:
    """Train a module and leave the best weights in it, on the CPU and in evaluation mode.

    It knows nothing of pipelines: a plugin's command may train whatever it likes with it.

    Args:
        module: What is trained; it gets the best weights (by ``settings.monitor``), or the last.
        loss: Batch → scalar, or :class:`Term` s, which several processes put together exactly.
        batches: Iterated once an epoch. Batches are moved by their ``to(device)``. Where it has
            attributes ``rank``, ``world`` and ``epoch`` (:class:`Batches` has), they are set.
        settings: Epochs, learning rate, patience, monitor.
        options: Further Trainer options from config.
        directory: Checkpoints and ``metrics.csv``; ``last.ckpt`` there is resumed from.
        validate: Judges the module after epochs; must return ``settings.monitor``.
        seed: Seed of dropout and samplers.
        progress: Show a bar.
        resume: Continue an interrupted run.
        epochs: Train exactly so many, without validation.
        callbacks: The caller's own.
        on_epoch: Told ``epoch`` (from 1), ``loss`` and what was measured, on rank 0 alone;
            pickled where processes are spawned.

    Raises:
        ConfigError: A Trainer option is wrong.
        DataError: ``last.ckpt`` is unreadable, unsafe or belongs to another model.
        KeyboardInterrupt: The run was interrupted; call again to resume after its last epoch.
    """
    check_trainer(options)
    monitored = validate is not None and epochs is None
    judge = validate if monitored else None
    training = TrainingModule(module, loss, settings, judge, seed, on_epoch)
    # Lightning keeps the mode a module is in, and whoever was trained before is in evaluation mode.
    training.train()
    last, best = directory / "last.ckpt", directory / "best.ckpt"
    done = 0
    if resume and last.exists():
        saved = read_checkpoint(last)
        check_fits(last, saved, training)
        done = int(saved["epoch"]) + 1
    else:
        for stale in (last, best):
            stale.unlink(missing_ok=True)
    hooks = _hooks(batches, settings, directory, monitored)
    if settings.compile:
        hooks.append(Compiled(settings.compile))
    if progress:
        hooks.append(Bar())
    with warnings.catch_warnings():
        quiet()
        trainer = pl.Trainer(
            **{
                "enable_model_summary": False,
                "gradient_clip_val": settings.gradient_clip,
                "use_distributed_sampler": False,
                **complete(options),
            },
            max_epochs=epochs or settings.epochs,
            callbacks=[*hooks, *callbacks],
            logger=csv_logger(directory, done),
            enable_progress_bar=progress,
            default_root_dir=directory,
        )
        data = batches if isinstance(batches, IterableDataset) else _Stream(batches)
        loader = DataLoader(data, batch_size=None)
        _fit(trainer, training, loader, str(last) if done else None)
    return _keep_best(training, best if monitored else last, last, settings)


def _hooks(
    batches: Iterable[Any], settings: TrainingConfig, directory: Path, monitored: bool
) -> list[Callback]:
    mode = "min" if settings.monitor.startswith(("rmse", "mae", "loss")) else "max"
    common: dict[str, Any] = {
        "dirpath": directory,
        "enable_version_counter": False,
        "save_on_train_epoch_end": True,
    }
    # Two of them, as Lightning's save_last saves where there is a new best alone: a resumed run
    # would start there again. The second one's file then holds the first one's state.
    best = ModelCheckpoint(filename="best", monitor=settings.monitor, mode=mode, **common)
    last = ModelCheckpoint(filename="last", **common)
    hooks: list[Callback] = [Epochs(batches), *([best] if monitored else []), last]
    if monitored:
        hooks.append(
            Patience(
                settings.monitor,
                patience=settings.patience,
                mode=mode,
                check_on_train_epoch_end=True,
            )
        )
    return hooks


def _fit(
    trainer: pl.Trainer, training: TrainingModule, loader: DataLoader[Any], last: str | None
) -> None:
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if main else None
    try:
        trainer.fit(training, loader, ckpt_path=last, weights_only=True if last else None)
    except SystemExit as exit_:
        # Lightning ends the program when it is interrupted; a library must leave that to its user.
        raise KeyboardInterrupt from exit_
    finally:
        if main:  # which it also made deaf to a second Ctrl+C
            signal.signal(signal.SIGINT, before)


def _keep_best(
    training: TrainingModule, best: Path, last: Path, settings: TrainingConfig
) -> Fitted:
    """Load the best weights, from files: spawned processes leave nothing else behind."""
    training.to("cpu")
    training.eval()
    if not last.exists():  # no epoch was finished: Lightning's fast_dev_run
        return Fitted(0, 0, None, training.history)
    end = read_checkpoint(last)
    saved = read_checkpoint(best) if best.exists() else end
    training.load_state_dict(saved["state_dict"])
    history, kept = end[OWN]["history"], int(saved["epoch"]) + 1
    value = next((row.get(settings.monitor) for row in history if row["epoch"] == kept), None)
    return Fitted(kept, int(end["epoch"]) + 1, value, history)
