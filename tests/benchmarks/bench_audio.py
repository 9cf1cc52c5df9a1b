"""Real sounds, simulated users: NDCG@10 on cold clips, ranked among themselves.

Users click by the hidden category of ``clips.csv`` (``category``: the spoken digit, or the kind of
loop), which no model is shown. A fifth of the clips is cold: a model knows their sound and nothing
else. The law of the users, fixed with its seed:

* A **category** is one of at least ``MIN_CLIPS`` clips. A user likes 2 or 3 of them (equally
  likely), drawn evenly without replacement.
* A user makes ``CLICKS`` clicks, each on a clip that the user has not clicked on before. With
  chance ``NOISE`` it is any clip, evenly; otherwise one of the user's categories is drawn evenly,
  then one of its clips evenly.

Each seed draws its own cold clips and weights; users stay. Settings (``GRID``) and epochs are
chosen by NDCG@10 on pseudo-cold clips, then everything is fitted again on all clicks on clips that
are not cold. Rows: random (its expectation), ``shuffled`` (every clip has another one's sound),
``log_mel``::

    python tests/benchmarks/bench_audio.py DATA/audio-clips --cache .
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from rankloom import Pipeline
from rankloom.evaluation import RankingResult, average_seeds, bootstrap_mean, paired_difference

K = 10
METRIC = f"ndcg@{K}"
USERS, CLICKS, NOISE, MIN_CLIPS = 500, 15, 0.2, 10

#: Settings among which validation chooses, the same for every row.
GRID: tuple[dict[str, float], ...] = tuple(
    {"learning_rate": rate, "temperature": temperature}
    for rate, temperature in itertools.product((5.0e-4, 1.0e-3), (0.1, 0.2))
)


def simulate(clips: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """Return clicks with columns ``user``, ``item`` and ``time``, by the law above."""
    rng = np.random.default_rng(seed)
    paths, categories = clips["path"].to_list(), np.array(clips["category"].to_list())
    names, counts = np.unique(categories, return_counts=True)
    tastes = [np.flatnonzero(categories == name) for name in names[counts >= MIN_CLIPS]]
    rows: list[tuple[str, str, int]] = []
    for user in range(USERS):
        own = rng.choice(len(tastes), size=rng.integers(2, 4), replace=False)
        chosen: list[int] = []
        while len(chosen) < CLICKS:
            if rng.random() < NOISE:
                row = int(rng.integers(len(paths)))
            else:
                row = int(rng.choice(tastes[own[rng.integers(len(own))]]))
            if row not in chosen:
                rows.append((f"u{user}", paths[row], len(chosen)))
                chosen.append(row)
    return pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")


def config(data: Path, seed: int, settings: dict[str, float]) -> dict[str, Any]:
    """Return the pipeline."""
    sound = {"type": "log_mel", "field": "sound", "root": str(data.resolve())}
    return {
        "name": "audio",
        "seed": seed,
        "data": {
            "source": {"type": "tables", "item_fields": {"sound": "audio"}},
            "split": {"type": "cold_items", "fraction": 0.2},
        },
        "model": {
            "items": {
                "encoders": {"sound": sound},
                "fusion": {"type": "concat", "dim": 64, "modality_dropout": 0.0},
            },
            "queries": {"encoders": {"history": {"type": "history_mean", "project": True}}},
            "scorer": {"type": "dot", "cosine": True, "temperature": settings["temperature"]},
            "tasks": ["softmax"],
            "training": {
                "learning_rate": settings["learning_rate"],
                "weight_decay": 1.0,
                "batch_size": 32,
                "epochs": 20,
                "patience": 4,
                "monitor": METRIC,
            },
        },
        "evaluation": {"k": [K], "metrics": ["ndcg"], "baselines": False},
    }


def fitted(
    data: Path, seed: int, clicks: pl.DataFrame, items: pl.DataFrame, cache: Path
) -> tuple[Pipeline, dict[str, float]]:
    """Return the pipeline with the best settings on validation."""
    best: tuple[float, Pipeline, dict[str, float]] | None = None
    for settings in GRID:
        pipeline = Pipeline.from_config(config(data, seed, settings), base_dir=cache)
        pipeline.fit(interactions=clicks, items=items, progress=False)
        score = float(pipeline.log.fitted["model"].best or 0.0)
        if best is None or score > best[0]:
            best = (score, pipeline, settings)
    assert best is not None
    return best[1], best[2]


def chance(pipeline: Pipeline) -> RankingResult:
    """Return what a random order gives each user on average."""
    dataset, split = pipeline.dataset, pipeline.split
    assert dataset is not None
    assert split is not None
    log = dataset.interactions.select(split.test.targets)
    n = int(split.test.candidates.sum())
    discounts = 1 / torch.arange(2, K + 2, dtype=torch.float64).log2()
    users, counts = log.users.unique(return_counts=True)
    ideal = discounts.cumsum(0)[counts.clamp(max=K) - 1]
    return RankingResult({METRIC: counts / n * discounts.sum() / ideal}, users)


def main() -> None:
    """Fit and evaluate every row with every seed, then compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of audio-clips")
    parser.add_argument("--cache", type=Path, default=Path(), help="where encodings are kept")
    parser.add_argument("--seeds", type=int, default=5, help="cold clips and initial weights")
    args = parser.parse_args()
    torch.set_num_threads(1)
    clips = pl.read_csv(args.data / "clips.csv")
    clicks = simulate(clips)
    sounds = clips["path"].to_list()
    other = [sounds[row] for row in np.random.default_rng(20).permutation(len(sounds))]
    found: dict[str, list[RankingResult]] = {}
    for seed in range(args.seeds):
        for row, paths in (("shuffled", other), ("log_mel", sounds)):
            started = time.perf_counter()
            items = pl.DataFrame({"id": sounds, "sound": paths})
            pipeline, settings = fitted(args.data, seed, clicks, items, args.cache)
            (result,) = pipeline.evaluate(progress=False).results.values()
            if row == "shuffled":
                found.setdefault("random", []).append(chance(pipeline))
            found.setdefault(row, []).append(result)
            line = {"seed": seed, "row": row, **settings}
            line |= {"validation": pipeline.log.fitted["model"].best, "test": result.mean(METRIC)}
            print(json.dumps({**line, "seconds": time.perf_counter() - started}), flush=True)
    report({row: average_seeds(results) for row, results in found.items()})


def report(rows: dict[str, RankingResult]) -> None:
    """Print each row with its interval, and what the bars ask for."""
    mean = {row: result.mean(METRIC) for row, result in rows.items()}
    for row, result in rows.items():
        interval = bootstrap_mean(result.values[METRIC])
        said = f"{interval.mean:.4f} [{interval.low:.4f}, {interval.high:.4f}]"
        print(f"{row:9} {METRIC} {said}, n = {result.n}, {mean[row] / mean['random']:.2f} x random")
    left, right = (rows[row].values[METRIC] for row in ("log_mel", "shuffled"))
    print(
        paired_difference(left, right, name="log_mel", against="shuffled", metric=METRIC).sentence()
    )
    print(f"log_mel / shuffled: {mean['log_mel'] / mean['shuffled']:.2f}")


if __name__ == "__main__":
    main()
