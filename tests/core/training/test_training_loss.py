"""The loss of a model: which items count, which are encoded, what reaches the parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankloom.config import TrainingConfig
from rankloom.config.trainer_keys import TRAINER_KEYS
from rankloom.errors import ConfigError, RankloomError
from rankloom.protocols import CandidateBatch, ScoreFunction, TrainBatch
from rankloom.training import model_loss
from rankloom.training.feeds import StepBatch
from rankloom.training.model_loss import ModelLoss
from rankloom.training.run import run

from .trained import N_ITEMS, Job


def _gradients(job: Job, loss: ModelLoss) -> tuple[Tensor, dict[str, Tensor]]:
    job.model.zero_grad()
    loss.seed(1)
    batch: StepBatch = job.batches.feed.batch(torch.arange(len(job.batches.feed)))
    (term,) = loss(batch)
    torch.autograd.backward(term.value)
    grads = {n: p.grad.clone() for n, p in job.model.named_parameters() if p.grad is not None}
    return term.value.detach(), grads


@pytest.mark.parametrize("kind", ["sequence", "sampled", "pair"])
def test_cold_items_have_no_gradient_and_no_count(kind: str) -> None:
    job = Job(kind, monitor="rmse" if kind == "pair" else "ndcg@10")
    cold = ~job.train.universe
    assert cold[-2:].all()  # nobody touched the last two
    counts = torch.bincount(job.train.interactions.items[job.train.positive], minlength=N_ITEMS)
    assert not counts[cold].any()
    _, gradients = _gradients(job, job.loss)
    tables = {n: g for n, g in gradients.items() if n.endswith("encoder_id.table.weight")}
    tables = tables or {n: g for n, g in gradients.items() if g.shape[0] in (N_ITEMS, N_ITEMS + 1)}
    assert tables
    for name, gradient in tables.items():
        rows = gradient[-N_ITEMS:]
        assert not rows[cold].any(), name
        assert rows[job.train.universe].any(), name


@pytest.mark.parametrize("kind", ["sampled", "pair"])
def test_items_of_the_step_are_enough(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large universe is not encoded whole in every step; loss and gradients do not change."""
    job = Job(kind, monitor="rmse" if kind == "pair" else "ndcg@10")
    value, gradients = _gradients(job, ModelLoss(job.model, job.table, job.train.universe))
    monkeypatch.setattr(model_loss, "SMALL_UNIVERSE", 3)
    lean = ModelLoss(job.model, job.table, job.train.universe)
    assert not lean.whole
    other, theirs = _gradients(job, lean)
    assert torch.allclose(value, other, atol=1e-6)
    assert gradients.keys() == theirs.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, theirs[name], atol=1e-6), name


def test_each_item_of_a_step_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_loss, "SMALL_UNIVERSE", 3)
    job = Job("sampled")
    lean, rows = ModelLoss(job.model, job.table, job.train.universe), list[int]()
    original = job.model.items.encode

    def encode(features: Any) -> Any:
        rows.append(len(features["id"]))
        return original(features)

    monkeypatch.setattr(job.model.items, "encode", encode)
    lean.seed(0)
    lean(job.batches.feed.batch(torch.arange(3)))
    assert sum(rows) <= int(job.train.universe.sum())


class Recorded:
    """Keeps the batch it was asked about."""

    def __init__(self, target: str, candidates: str) -> None:
        self.target, self.candidates = target, candidates
        self.batches: list[TrainBatch] = []

    def loss(self, batch: TrainBatch, score: ScoreFunction) -> Tensor:
        self.batches.append(batch)
        return score(batch.target_candidates()).values.sum()


def test_rows_count_by_what_a_task_learns_from() -> None:
    job = Job("pair", monitor="rmse")
    task = job.model.tasks[0]
    found: dict[str, Recorded] = {}
    for target in ("rating", "positive"):
        found[target] = Recorded(target, "batch")
        object.__setattr__(task, "objective", found[target])
        loss = ModelLoss(job.model, job.table, job.train.universe)
        batch = job.batches.feed.batch(torch.arange(5))
        values = batch.values.clone()
        values[1] = torch.nan
        positive = torch.tensor([True, True, False, True, True])
        step = StepBatch(batch.queries, batch.targets, values, False, positive)
        (term,) = loss(step)
        assert float(term.weight) == 4.0
    assert found["rating"].batches[0].weights.tolist() == [1, 0, 1, 1, 1]
    assert found["positive"].batches[0].weights.tolist() == [1, 1, 0, 1, 1]
    own = found["rating"].batches[0]
    assert isinstance(own.candidates, CandidateBatch)
    assert torch.equal(own.candidates.items, own.targets)
    assert own.target_columns is not None
    assert own.target_columns.tolist() == [0, 1, 2, 3, 4]


def test_mixed_precision_leaves_float32_vectors(tmp_path: Path) -> None:
    for kind, monitor in (("sequence", "ndcg@10"), ("pair", "rmse")):
        job = Job(kind, epochs=1, monitor=monitor)
        fitted = job.run(tmp_path / kind, {"precision": "bf16-mixed"})
        assert torch.tensor(fitted.history[0][monitor]).isfinite()
        log = (tmp_path / kind / "metrics.csv").read_text().splitlines()
        assert torch.tensor(float(log[-1].split(",")[1])).isfinite()
        assert job.table.vectors.dtype == torch.float32
        assert all(p.dtype == torch.float32 for p in job.model.parameters())


class Line(nn.Module):
    """Nothing of Rankloom: a line."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(()))


def _line(module: Line) -> Callable[[Tensor], Tensor]:
    return lambda x: (module.slope * x - 3 * x).square().mean()


def test_any_module_trains_on_any_loss(tmp_path: Path) -> None:
    """What a plugin's command does: a module, a loss, and an iterable of batches."""
    module = Line()
    batches = [torch.ones(4), torch.tensor([2.0])]
    settings = TrainingConfig(epochs=60, learning_rate=0.1)
    options = {"accelerator": "cpu", "devices": 1}
    fitted = run(module, _line(module), batches, settings, options, tmp_path, progress=False)
    assert module.slope.item() == pytest.approx(3.0, abs=0.05)
    assert (fitted.trained, fitted.best) == (60, None)
    assert not module.training
    header, *rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert header == "epoch,loss,step"
    assert len(rows) == 60


def test_best_weights_are_kept_and_patience_ends_the_run(tmp_path: Path) -> None:
    module = Line()
    values = iter([0.1, 0.9, 0.3, 0.2, 0.1, 0.0])
    slopes: list[float] = []

    def validate() -> dict[str, float]:
        slopes.append(module.slope.item())
        return {"ndcg@10": next(values)}

    settings = TrainingConfig(epochs=50, patience=3, learning_rate=0.1)
    fitted = run(
        module,
        _line(module),
        [torch.ones(2)],
        settings,
        {"accelerator": "cpu", "devices": 1},
        tmp_path,
        validate=validate,
        progress=False,
    )
    assert (fitted.epochs, fitted.trained, fitted.best) == (2, 5, 0.9)
    assert module.slope.item() == slopes[1]
    rows = [line.split(",") for line in (tmp_path / "metrics.csv").read_text().splitlines()]
    assert rows[0] == ["epoch", "loss", "ndcg@10", "step"]
    assert [row[2] for row in rows[1:]] == ["0.1", "0.9", "0.3", "0.2", "0.1"]


def test_trainer_keys_are_those_of_lightning() -> None:
    import lightning.pytorch as pl

    assert set(inspect.signature(pl.Trainer.__init__).parameters) - {"self"} == TRAINER_KEYS


def test_trainer_options_are_checked(tmp_path: Path) -> None:
    module = Line()
    for options, message in (
        ({"acelerator": "cpu"}, "Did you mean 'accelerator'"),
        ({"max_epochs": 3}, "set by Rankloom itself"),
    ):
        with pytest.raises(ConfigError, match=message):
            run(module, _line(module), [], TrainingConfig(), options, tmp_path)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    module = Line()

    def broken(x: Tensor) -> Tensor:
        return module.slope * torch.nan

    options = {"accelerator": "cpu", "devices": 1}
    with pytest.raises(RankloomError, match=r"loss of epoch 1 is nan.*learning_rate"):
        run(module, broken, [torch.ones(2)], TrainingConfig(epochs=2), options, tmp_path,
            progress=False)  # fmt: skip


def test_every_epoch_is_told(tmp_path: Path) -> None:
    told: list[dict[str, float]] = []
    module = Line()
    settings = TrainingConfig(epochs=3, monitor="ndcg@10", evaluate_every=2, patience=9)
    options = {"accelerator": "cpu", "devices": 1}
    run(module, _line(module), [torch.ones(2)], settings, options, tmp_path, progress=False,
        validate=lambda: {"ndcg@10": 0.5}, on_epoch=told.append)  # fmt: skip
    assert [row["epoch"] for row in told] == [1, 2, 3]
    assert ["ndcg@10" in row for row in told] == [False, True, True]
    assert told[0]["loss"] > told[2]["loss"]
