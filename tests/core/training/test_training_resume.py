"""An interrupted run, resumed, ends where an unbroken one does; checkpoints run no code."""

from __future__ import annotations

import os
import pickle
import signal
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from rankloom.config import TrainingConfig
from rankloom.errors import DataError
from rankloom.training.checkpoints import read_checkpoint
from rankloom.training.run import run

from .trained import Job


class Interrupt(Callback):
    """Ctrl+C in the middle of an epoch (from 0)."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        if trainer.current_epoch == self.epoch:
            raise KeyboardInterrupt


def _exact(job: Job, other: Job) -> None:
    theirs: dict[str, Tensor] = other.weights()
    for name, tensor in job.weights().items():
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize("kind", ["sequence", "sampled"])
def test_resumed_run_is_the_unbroken_one(kind: str, tmp_path: Path) -> None:
    whole = Job(kind, dropout=0.3, epochs=4, patience=3)
    unbroken = whole.run(tmp_path / "whole")
    handler = signal.getsignal(signal.SIGINT)
    broken = Job(kind, dropout=0.3, epochs=4, patience=3)
    with pytest.raises(KeyboardInterrupt):
        broken.run(tmp_path / "broken", callbacks=(Interrupt(2),))
    assert signal.getsignal(signal.SIGINT) is handler  # a second Ctrl+C still works
    torch.manual_seed(999)  # whatever happened in between
    again = Job(kind, dropout=0.3, epochs=4, patience=3)
    resumed = again.run(tmp_path / "broken")
    _exact(again, whole)
    assert resumed == unbroken
    logs = [(tmp_path / name / "metrics.csv").read_text() for name in ("whole", "broken")]
    assert logs[0] == logs[1]


def test_patience_goes_on_where_it_was(tmp_path: Path) -> None:
    """Early stopping counts evaluations, over an interruption too, and a stopped run stays so."""

    def job() -> Job:
        made = Job("sequence", epochs=40, patience=2, evaluate_every=2, learning_rate=0.3)
        return made

    whole = job()
    unbroken = whole.run(tmp_path / "whole")
    assert unbroken.trained < 40
    judged = [row["epoch"] for row in unbroken.history]
    assert judged == [float(n) for n in range(2, unbroken.trained + 1, 2)]
    assert unbroken.trained == unbroken.epochs + 4  # two evaluations, two epochs apart
    broken = job()
    with pytest.raises(KeyboardInterrupt):
        broken.run(tmp_path / "broken", callbacks=(Interrupt(unbroken.trained - 2),))
    again = job()
    assert again.run(tmp_path / "broken") == unbroken
    _exact(again, whole)
    once_more = job()
    assert once_more.run(tmp_path / "broken") == unbroken  # nothing is left to do
    _exact(once_more, whole)


def test_a_module_that_was_trained_before_trains_with_dropout_again(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.5))
    modes: list[bool] = []

    def loss(batch: Tensor) -> Tensor:
        modes.append(module[1].training)
        return module(batch).square().mean()

    for name in ("fit", "refit"):
        run(module, loss, [torch.ones(4, 2)], TrainingConfig(epochs=1), {}, tmp_path / name)
        assert not module.training
    assert modes == [True, True]


class Bomb:
    """Runs code when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.mark),))


def test_foreign_pickle_is_refused(tmp_path: Path) -> None:
    job, mark = Job("sequence", epochs=1), tmp_path / "ran"
    path = tmp_path / "run" / "last.ckpt"
    path.parent.mkdir()
    torch.save({"state_dict": {}, "epoch": 0, "rankloom": Bomb(mark)}, path)
    with pytest.raises(DataError, match=r"last\.ckpt.*could run code"):
        job.run(tmp_path / "run")
    path.write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(DataError, match=r"last\.ckpt"):
        job.run(tmp_path / "run")
    assert not mark.exists()
    fitted = job.run(tmp_path / "run", resume=False)
    assert fitted.trained == 1
    assert read_checkpoint(path)["rankloom"]["history"] == fitted.history


def test_damaged_and_foreign_checkpoints_are_named(tmp_path: Path) -> None:
    job = Job("sequence", epochs=1)
    job.run(tmp_path)
    saved = (tmp_path / "last.ckpt").read_bytes()
    (tmp_path / "last.ckpt").write_bytes(saved[: len(saved) // 2])
    with pytest.raises(DataError, match=r"cannot be read|damaged"):
        job.run(tmp_path)
    (tmp_path / "last.ckpt").write_bytes(saved)
    with pytest.raises(DataError, match="belongs to another model"):
        Job("pair", epochs=1, monitor="rmse").run(tmp_path)
    torch.save([1, 2], tmp_path / "last.ckpt")
    with pytest.raises(DataError, match="no checkpoint"):
        job.run(tmp_path)
