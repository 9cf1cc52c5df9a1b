"""`recommend` for one known user against the bare tensor work, and ``rankloom --help``.

10,000 items, k = 10; a two-tower model of ids with SASRec and the guard ``seen``. The bare work is
the encoder's forward pass, the product with all item vectors, the mask and the top k. Both are
measured by turns, by the clock and in CPU time of the thread, which says more on a busy machine::

    python tests/benchmarks/bench_recommend.py

``rankloom --help`` is measured against a bare typer program with one pydantic model.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch

from rankloom.api import Pipeline

BARE = """
import typer
from pydantic import BaseModel
class Settings(BaseModel):
    name: str = "x"
app = typer.Typer()
@app.command()
def one(name: str = "x") -> None:
    "One."
@app.command()
def two(name: str = "x") -> None:
    "Two."
app()
"""


def fitted(n_items: int, folder: Path) -> Pipeline:
    """Fit a small model over many items."""
    generator = torch.Generator().manual_seed(0)
    users = torch.arange(2_000).repeat_interleave(30)
    items = torch.randint(n_items, users.shape, generator=generator)
    items[:n_items] = torch.arange(n_items)  # every item was seen by somebody
    frame = pl.DataFrame(
        {"user": users.tolist(), "item": items.tolist(), "time": list(range(len(users)))}
    )
    config = {
        "name": "latency",
        "data": {"split": "leave_last_out"},
        "model": {
            "items": {"encoders": {"id": {"type": "embedding", "dim": 64}}},
            "queries": {"encoders": {"history": {"type": "sasrec", "max_length": 50}}},
            "tasks": ["softmax"],
            "training": {"epochs": 1, "evaluate_every": 2},
        },
        "evaluation": {"baselines": False},
    }
    pipeline = Pipeline.from_config(config, base_dir=folder)
    return pipeline.fit(interactions=frame, progress=False)


def bare(pipeline: Pipeline, user: int) -> Callable[[], object]:
    """Return the tensor work of one request and nothing else."""
    assert pipeline.parts is not None
    assert pipeline.dataset is not None
    model, table = pipeline.parts.models["model"], pipeline.parts.tables["model"]
    log = pipeline.dataset.interactions
    seen = log.items[log.users == user]
    encoder = model.queries.encoders["history"]
    last = table.vectors[seen[-50:]][None]
    positions, stack = encoder.positions, encoder.stack

    @torch.inference_mode()
    def work() -> object:
        query = stack(last + positions[: last.shape[1]])[:, -1]
        scores = query @ table.vectors.T
        scores[0, seen] = -torch.inf
        return scores.topk(10)

    return work


@dataclass(frozen=True)
class Cost:
    """Median milliseconds of one call, by the clock and of CPU time."""

    wall: float
    cpu: float


def alternated(works: Sequence[Callable[[], object]], n: int, batch: int = 10) -> list[Cost]:
    """Measure ``n`` calls of each work, in small batches by turns: load hits all of them alike."""
    wall: list[list[float]] = [[] for _ in works]
    cpu: list[list[float]] = [[] for _ in works]
    for turn in range(-2, -(-n // batch)):  # the first two warm up
        for i, work in enumerate(works):
            for _ in range(batch):
                started, spent = time.perf_counter(), time.thread_time()
                work()
                if turn >= 0:
                    cpu[i].append(1000 * (time.thread_time() - spent))
                    wall[i].append(1000 * (time.perf_counter() - started))
    return [
        Cost(statistics.median(w), statistics.median(c)) for w, c in zip(wall, cpu, strict=True)
    ]


def help_ratio(rounds: int) -> tuple[float, float]:
    """Return median seconds of ``rankloom --help`` and of the bare program, alternated."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "bare.py"
        script.write_text(BARE, encoding="utf-8")
        commands = (
            [str(Path(sys.executable).parent / "rankloom"), "--help"],
            [sys.executable, str(script), "--help"],
        )
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds + 1):
            for command, seconds in zip(commands, taken, strict=True):
                started = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                seconds.append(time.perf_counter() - started)
    ours, theirs = (statistics.median(seconds[1:]) for seconds in taken)
    return ours, theirs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = fitted(args.items, Path(folder))
        work = bare(pipeline, 7)
        works = (work, lambda: pipeline.recommend(7, k=10))
        runs = [alternated(works, args.requests) for _ in range(3)]
    for kind in ("wall", "cpu"):
        pairs = [(getattr(theirs, kind), getattr(mine, kind)) for theirs, mine in runs]
        for theirs, mine in pairs:
            print(f"{kind}: bare {theirs:.3f} ms, recommend {mine:.3f} ms, +{mine - theirs:.3f} ms")
        print(
            f"more a request ({kind}): median {statistics.median(m - t for t, m in pairs):.3f} ms"
        )
    ours, theirs = help_ratio(args.rounds)
    print(f"rankloom --help {ours:.3f} s, bare program {theirs:.3f} s, ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
