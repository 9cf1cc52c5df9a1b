"""What ``ridge_map`` does to warm items, and how much a few ratings tell of an item.

ML-100K, 20 % of the films cold and a tenth of each user's ratings of the others held out, three
draws, all ratings positive. EASE is the id model, ``ridge_map`` continues it by genres, year, words
and MiniLM. Warm targets are ranked among warm films, K = 10; then targets are told apart by how
many ratings their film has among those fitted on (0: cold), all ranked among all films::

    python tests/benchmarks/bench_warm_and_few.py DATA/movielens-100k
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from bench_cold_hybrid import EASE, PLAIN, TEXT

from rankloom.api import Pipeline
from rankloom.evaluation import RankingResult, average_seeds, bootstrap_mean, paired_difference

METRIC = "ndcg@10"
COUNTS = [0, 1, 2, 5, 10]


def config(data: Path, seed: int) -> dict[str, Any]:
    """Return the pipeline; EASE is a further row."""
    return {
        "name": "ridge_map",
        "seed": seed,
        "data": {
            "source": {"type": "movielens", "path": str(data.resolve())},
            "split": {"type": "cold_items", "warm_test": 0.1},
        },
        "models": {"content": {"items": {"encoders": {**PLAIN, "text": TEXT}}}},
        "scorer": {"type": "ridge_map", "of": EASE, "model": "content"},
        "text_as": "title_genres",
        "evaluation": {
            "k": [10],
            "metrics": ["ndcg"],
            "baselines": False,
            "compare": {"ids": EASE},
            "slices": ["warm", "cold"],
            "item_counts": COUNTS,
        },
    }


def main() -> None:
    """Fit and evaluate every draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of ML-100K")
    parser.add_argument("--cache", type=Path, default=Path(), help="where encodings are kept")
    parser.add_argument("--draws", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[RankingResult]] = {}
    few: dict[str, list[dict[int, float]]] = {}
    for seed in range(args.draws):
        pipeline = Pipeline.from_config(config(args.data, seed), base_dir=args.cache)
        report = pipeline.fit(progress=False).evaluate(progress=False)
        for part in report.slices:
            for row, result in part.results.items():
                found.setdefault(f"{part.name} {row}", []).append(result)
        for row in ("ridge_map", "ids"):
            few.setdefault(row, []).append(report.curve("item_counts", row).means(METRIC))
        line = {name: round(results[-1].mean(METRIC), 4) for name, results in found.items()}
        print(json.dumps({"draw": seed, **line}), flush=True)
    mean = {name: average_seeds(results).values[METRIC] for name, results in found.items()}
    for name, values in mean.items():
        of = bootstrap_mean(values)
        print(f"{name}: {METRIC} {of.mean:.4f} [{of.low:.4f}, {of.high:.4f}], n = {len(values)}")
    gap = paired_difference(mean["warm ridge_map"], mean["warm ids"])
    print(f"warm, ridge_map less ids: {gap.difference:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]")
    for row, curves in few.items():
        points = {n: sum(curve[n] for curve in curves) / len(curves) for n in curves[0]}
        print(f"{row} by ratings of the film: { ({n: round(x, 4) for n, x in points.items()}) }")


if __name__ == "__main__":
    main()
