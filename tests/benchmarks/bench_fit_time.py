"""Fit time of SASRec through the framework against the same model in a plain torch loop.

ML-100K, L = 100, dim 128, 2 blocks, full softmax, batch 128. Both train on the same windows of the
same users, on one thread, alternated in one run; ours with its log, checkpoints, item table and
Lightning's set-up::

    python tests/benchmarks/bench_fit_time.py DATA/movielens-100k --epochs 2 --rounds 3

Then steps of about a millisecond, with the CSV log and the progress bar (``--steps``).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from plain_sasrec import PlainSASRec, Settings, load, ndcg, train_epochs
from torch import Tensor, nn

from rankloom.api import Pipeline
from rankloom.config import TrainingConfig
from rankloom.training.run import run

PLAIN = Settings(max_length=100, dim=128, batch_size=128, windows=1)


def ours(data: Path, epochs: int) -> float:
    """Return the fit seconds of the model in a pipeline."""
    config: dict[str, Any] = {
        "name": "fit-time",
        "data": {"source": {"type": "movielens", "path": str(data)}, "split": "leave_last_out"},
        "model": {
            "items": {"encoders": {"id": {"type": "embedding", "dim": 128}}},
            "queries": {"encoders": {"history": {"type": "sasrec", "max_length": 100}}},
            "tasks": ["softmax"],
            "training": {
                "learning_rate": PLAIN.learning_rate,
                "batch_size": 128,
                "epochs": epochs,
                "evaluate_every": epochs + 1,  # the last epoch is judged all the same
            },
        },
        "evaluation": {"baselines": False},
    }
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Pipeline.from_config(config, base_dir=Path(folder))
        pipeline.fit(progress=True)
    return pipeline.log.seconds["model"]


def plain(data: Path, epochs: int) -> float:
    """Return the seconds of the hand-written loop."""
    loaded = load(data / "u.data")
    torch.manual_seed(0)
    started = time.perf_counter()
    settings = replace(PLAIN, epochs=epochs)
    model = PlainSASRec(loaded.n_items, settings)
    for _ in train_epochs(model, loaded, settings):
        pass
    ndcg(model, loaded, settings, 2)  # a fit ends with a look at validation, so this does too
    return time.perf_counter() - started


class Steps:
    """``n`` small batches."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.batch = torch.randn(64, 128)

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[Tensor]:
        return iter([self.batch] * self.n)


def network() -> nn.Module:
    """Return a network whose step takes about a millisecond."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 128))


def step_plain(n: int) -> float:
    """Return milliseconds a step of a hand-written loop."""
    module = network()
    optimizer = torch.optim.Adam(module.parameters(), 1e-3)
    started = time.perf_counter()
    for batch in Steps(n):
        loss = (module(batch) - batch).square().mean()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
    return 1000 * (time.perf_counter() - started) / n


def step_ours(n: int) -> float:
    """Return milliseconds a step of ``rankloom.training.run``; epochs of 100 and ``n`` are timed.

    The difference of the two leaves the set-up of a run out.
    """
    seconds = []
    for size in (100, 100 + n):
        module = network()
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            run(
                module,
                lambda batch, module=module: (module(batch) - batch).square().mean(),
                Steps(size),
                TrainingConfig(epochs=1),
                {"accelerator": "cpu"},
                Path(folder),
                progress=True,
            )
            seconds.append(time.perf_counter() - started)
    return 1000 * (seconds[1] - seconds[0]) / n


def main() -> None:
    """Alternate and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of ML-100K")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    folder = args.data.resolve()
    ours(folder, 1)  # imports and first allocations, once
    pairs = [(plain(folder, args.epochs), ours(folder, args.epochs)) for _ in range(args.rounds)]
    ratios = [mine / theirs for theirs, mine in pairs]
    for theirs, mine in pairs:
        print(f"plain loop {theirs:.2f} s, framework {mine:.2f} s, ratio {mine / theirs:.3f}")
    print(f"fit time ratio: median {statistics.median(ratios):.3f}")
    steps = [(step_plain(args.steps), step_ours(args.steps)) for _ in range(args.rounds)]
    for theirs, mine in steps:
        print(f"a step: plain {theirs:.2f} ms, framework {mine:.2f} ms, +{mine - theirs:.2f} ms")
    print(f"more a step: median {statistics.median(m - t for t, m in steps):.2f} ms")


if __name__ == "__main__":
    main()
