"""RMSE on ML-100K's u1.base / u1.test by ``mse`` with a neural model.

Ids, history, user and item fields: a factorisation machine over their encodings. Validation is 5 %
of u1.base by seed; epochs are chosen there, then the model is fitted on all of u1.base::

    python tests/benchmarks/bench_ratings_u1.py DATA/movielens-100k --seeds 3
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch

from rankloom.api import Pipeline


def config(data: Path, seed: int) -> dict[str, Any]:
    """Return the pipeline."""
    dim = 16
    bag = {"type": "history_bag", "dim": dim, "max_length": 300}
    plain_sum = {"type": "sum", "modality_dropout": 0.0}
    return {
        "name": "u1",
        "seed": seed,
        "data": {
            "source": {
                "type": "movielens",
                "path": str(data.resolve()),
                "train": "u1.base",
                "test": "u1.test",
            },
            "split": {"type": "files", "refit": True},
        },
        "model": {
            "items": {
                "encoders": {
                    "id": {"type": "embedding", "dim": dim},
                    "genres": {"type": "multi_hot", "dim": dim},
                    "year": {"type": "number", "dim": dim},
                },
                "fusion": plain_sum,
            },
            "queries": {
                "encoders": {
                    "user": {"type": "embedding", "field": "user.id", "dim": dim},
                    "age": {"type": "number", "field": "user.age", "dim": dim},
                    "gender": {"type": "category", "field": "user.gender", "dim": dim},
                    "occupation": {"type": "category", "field": "user.occupation", "dim": dim},
                    "taken": bag,
                    "rated": {**bag, "weight_by_value": True},
                },
                "fusion": plain_sum,
            },
            "scorer": {"type": "dot", "user_bias": True, "item_bias": True, "global_bias": True},
            "tasks": ["mse"],
            "training": {
                "learning_rate": 1.5e-3,
                "weight_decay": 1.0,
                "batch_size": 2048,
                "epochs": 40,
                "patience": 4,
                "monitor": "rmse",
            },
        },
        "evaluation": {"k": [10], "metrics": ["ndcg"], "baselines": False},
    }


def main() -> None:
    """Fit and evaluate every seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of ML-100K")
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            pipeline = Pipeline.from_config(config(args.data, seed), base_dir=Path(folder))
            pipeline.fit(progress=False)
            fitted = pipeline.log.fitted["model"]
            report = pipeline.evaluate(progress=False)
        assert report.ratings is not None
        found.append(report.ratings)
        print(
            json.dumps(
                {
                    "seed": seed,
                    "validation": fitted.best,
                    "epochs": fitted.epochs,
                    "seconds": pipeline.log.seconds["model"],
                    "test": report.ratings,
                }
            ),
            flush=True,
        )
    rmse = [float(rating["rmse"]) for rating in found]
    print(f"test RMSE: mean {statistics.mean(rmse):.4f} of {len(rmse)} seed(s)")


if __name__ == "__main__":
    main()
