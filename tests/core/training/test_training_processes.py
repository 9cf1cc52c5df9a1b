"""Two processes train exactly as one does on the same global batches."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rankloom.training.terms import Term, combine
from rankloom.training.trainer_options import complete

from .trained import Job

HERE = Path(__file__).parent
MODELS = {"sequence": "ndcg@10", "pair": "rmse"}
BATCH = {"sequence": 6, "pair": 47}
EPOCHS = 3

RANK = (
    f"""
MODELS, BATCH, EPOCHS = {MODELS}, {BATCH}, {EPOCHS}
"""
    + """
import sys, torch
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from trained import Job
torch.set_num_threads(1)
for kind, monitor in MODELS.items():
    job = Job(kind, epochs=EPOCHS, monitor=monitor, batch_size=BATCH[kind])
    fitted = job.run(Path(sys.argv[2]) / kind, {"devices": 2, "strategy": "ddp"})
    torch.save((job.weights(), fitted.history), f"{sys.argv[2]}/{kind}.{sys.argv[3]}")
"""
)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two launched processes (as by torchrun) left behind."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(20_000 + os.getpid() % 20_000),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "NODE_RANK": "0",
        "GROUP_RANK": "0",
        "TORCHELASTIC_RUN_ID": "test",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", RANK, str(HERE), str(folder)]
    started = [
        subprocess.Popen(
            [*command, str(rank)],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    problems = [process.communicate(timeout=180)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], problems
    return folder


def _log(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.mark.parametrize("kind", MODELS)
def test_two_processes_train_as_one(kind: str, ranks: Path, tmp_path: Path) -> None:
    job = Job(kind, epochs=EPOCHS, monitor=MODELS[kind], batch_size=BATCH[kind])
    # Histories differ in length, and of the last batch of pairs, one example, rank 1 has nothing.
    n = len(job.batches.feed)
    assert n % job.settings.batch_size == (1 if kind == "pair" else 5)
    fitted = job.run(tmp_path)
    weights = job.weights()
    answers = [torch.load(ranks / f"{kind}.{rank}") for rank in range(2)]
    for theirs, history in answers:
        _same(theirs, weights)
        assert [row["epoch"] for row in history] == [1, 2, 3]
        for ours, row in zip(fitted.history, history, strict=True):
            assert row[MODELS[kind]] == pytest.approx(ours[MODELS[kind]], abs=1e-5)
    _same(answers[0][0], answers[1][0], 0.0)
    for ours, row in zip(_log(tmp_path), _log(ranks / kind), strict=True):
        assert row == pytest.approx(ours, abs=1e-4)


def _same(theirs: dict[str, Tensor], ours: dict[str, Tensor], atol: float = 1e-4) -> None:
    assert theirs.keys() == ours.keys()
    for name, tensor in ours.items():
        a, b = theirs[name].float(), tensor.float()
        if name.endswith("qkv.bias") and atol:
            # The softmax does not see a bias of the keys: its gradient is rounding, which Adam
            # makes as large as any.
            a, b = (torch.cat([x[:8], x[16:]]) for x in (a, b))
        assert torch.allclose(a, b, atol=atol, rtol=0), (name, a - b)


def test_rank_zero_alone_writes(ranks: Path) -> None:
    for kind in MODELS:
        names = sorted(path.name for path in (ranks / kind).iterdir())
        assert names == ["best.ckpt", "last.ckpt", "metrics.csv"]
        assert [row["epoch"] for row in _log(ranks / kind)] == [1, 2, 3]


def test_several_devices_spawn_for_the_training_alone(tmp_path: Path) -> None:
    """``ddp`` outside a launcher: the processes live as long as the training."""
    one, two = Job("sequence", epochs=1), Job("sequence", epochs=1)
    fitted = one.run(tmp_path / "one")
    spawned = two.run(tmp_path / "two", {"devices": 2})
    _same(two.weights(), one.weights())
    assert (spawned.epochs, spawned.trained) == (fitted.epochs, fitted.trained) == (1, 1)
    assert spawned.best == pytest.approx(fitted.best, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "strategy"),
    [
        ({"devices": 2}, "ddp_spawn"),
        ({"devices": 2, "strategy": "ddp"}, "ddp_spawn"),
        ({"devices": "0,1"}, "ddp_spawn"),
        ({"devices": [0]}, None),
        ({"devices": 1}, None),
        ({"devices": 2, "strategy": "fsdp"}, "fsdp"),
        ({"devices": 2, "num_nodes": 2}, None),
    ],
)
def test_strategy_that_is_chosen(
    options: dict[str, object], strategy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert complete({"accelerator": "cpu", **options}).get("strategy") == strategy
    monkeypatch.setenv("LOCAL_RANK", "0")  # torchrun started the processes: Lightning joins them
    launched = complete({"accelerator": "cpu", **options})
    assert launched.get("strategy") == options.get("strategy")


def test_terms_of_one_process_add_up() -> None:
    value = torch.tensor(2.0, requires_grad=True)
    total, whole = combine([Term(value, 3.0, 0.5), Term(value * 2, 0.0)])
    assert total.item() == whole.item() == 5.0
    assert not whole.requires_grad
    assert combine(value)[0].item() == 2.0
