"""NDCG@10 of users that are in no training, by how many of their ratings are known (ML-100K).

A fifth of the users is held out. The first 10 ratings of each are its support, all later ones the
targets; of the support the first n = 0, 1, 3, 5, 10 are known, with the same targets and
candidates for every n. All ratings are positives. Which pipeline is used is chosen on users of the
training part alone, held out in the same way; only the chosen one sees the test users::

    python tests/benchmarks/bench_fold_in.py DATA/movielens-100k
"""

from __future__ import annotations

import argparse
import json
import statistics
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import torch

from rankloom.api import Pipeline
from rankloom.api.loading import load_dataset, make_split
from rankloom.config import load_config
from rankloom.data.dataset import Dataset
from rankloom.evaluation import Comparison, EvaluationReport, average_seeds, paired_difference
from rankloom.registry import default_registry

NUMBERS = [0, 1, 3, 5, 10]
METRIC = "ndcg@10"
#: Decreases below this are called none.
SMALL = 0.002
#: What the choice is between. Popularity serves n = 0 (``fallback``) wherever a part cannot.
CANDIDATES: dict[str, Any] = {
    "ease": "ease",
    "ease, l2 1e6": {"type": "ease", "l2": 1e6},
    **{f"prefix_ridge, l2 {l2:g}": {"type": "prefix_ridge", "l2": l2} for l2 in (12.0, 25.0, 50.0)},
}


def config(data: Path, seed: int, scorer: Any) -> dict[str, Any]:
    """Return the pipeline."""
    return {
        "name": "fold-in",
        "seed": seed,
        "data": {
            "source": {"type": "movielens", "path": str(data.resolve())},
            "split": {"type": "fold_in", "fraction": 0.2, "support": max(NUMBERS)},
        },
        "scorer": scorer,
        "evaluation": {
            "metrics": ["ndcg", "recall"],
            "baselines": False,
            "compare": {"popularity": "popularity"},
            "fold_in": NUMBERS,
            "slices": [],
        },
    }


def training_part(data: Path, seed: int) -> pl.DataFrame:
    """Return the log of the users that are in the test of no pipeline with this seed."""
    checked = load_config(config(data, seed, "ease"))
    dataset: Dataset = load_dataset(checked, default_registry(), Path())
    split = make_split(checked, default_registry(), dataset)
    assert split.refit is not None
    log = dataset.interactions.select(split.refit)
    return pl.DataFrame(
        {
            "user": [dataset.users.ids.ids[u] for u in log.users.tolist()],
            "item": [dataset.items.ids.ids[i] for i in log.items.tolist()],
            "value": log.values.numpy(),
            "time": log.times.numpy(),
        }
    )


def evaluate(data: Path, seed: int, scorer: Any, log: pl.DataFrame | None) -> EvaluationReport:
    """Fit and judge one pipeline, on all of the data or on a part of its log."""
    settings = config(data, seed, scorer)
    if log is not None:
        settings["data"]["source"] = {"type": "tables"}
    return Pipeline.from_config(settings).fit(log, progress=False).evaluate(progress=False)


def own(report: EvaluationReport) -> str:
    """Return the name of the pipeline's row."""
    return next(curve.name for curve in report.curves if curve.name != "popularity")


def choose(data: Path, seeds: int) -> str:
    """Return the candidate that is best on users of the training part, on average over n."""
    parts = [training_part(data, seed) for seed in range(seeds)]
    best: tuple[float, str] = (-1.0, "")
    for name, scorer in CANDIDATES.items():
        curves = []
        for seed, log in enumerate(parts):
            report = evaluate(data, seed, scorer, log)
            curves.append(report.curve("fold_in", own(report)).means(METRIC))
        means = {n: statistics.mean(curve[n] for curve in curves) for n in NUMBERS}
        print(json.dumps({"validation": name, **_rounded(means)}), flush=True)
        best = max(best, (statistics.mean(means.values()), name))
    return best[1]


def main() -> None:
    """Choose on the training part, then judge on the test users."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of ML-100K")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    name = choose(args.data, args.seeds)
    print(f"chosen: {name}")
    found: dict[str, dict[int, list[Any]]] = {"pipeline": {}, "popularity": {}}
    for seed in range(args.seeds):
        report = evaluate(args.data, seed, CANDIDATES[name], None)
        for key, row in (("pipeline", own(report)), ("popularity", "popularity")):
            curve = report.curve("fold_in", row)
            for n, result in curve.results.items():
                found[key].setdefault(n, []).append(result)
            print(json.dumps({"seed": seed, "row": row, **_rounded(curve.means(METRIC))}))
    averaged = {
        key: {n: average_seeds(results).values[METRIC] for n, results in by_n.items()}
        for key, by_n in found.items()
    }
    own_values = averaged["pipeline"]
    print(f"test {METRIC}, {args.seeds} seeds averaged per user, {len(own_values[0])} users:")
    for n in NUMBERS:
        against = paired_difference(own_values[n], averaged["popularity"][n])
        print(
            f"  n = {n}: {float(own_values[n].mean()):.4f}; less popularity "
            f"{against.difference:+.4f} [{against.low:+.4f}, {against.high:+.4f}]"
        )
    steps = [
        paired_difference(
            own_values[b], own_values[a], name=f"n = {b}", against=f"n = {a}", metric=METRIC
        )
        for a, b in pairwise(NUMBERS)
    ]
    for step in steps:
        print(f"  {step.sentence()}")
    bars = {
        "monotone": all(_rises(step) for step in steps),
        "n = 5 at least 80 % of n = 10": bool(own_values[5].mean() >= 0.8 * own_values[10].mean()),
        "n = 0 not worse than popularity": paired_difference(
            own_values[0], averaged["popularity"][0]
        ).not_worse,
    }
    print(json.dumps(bars))


def _rises(step: Comparison) -> bool:
    return step.difference > 0 and step.low > -SMALL


def _rounded(means: dict[int, float]) -> dict[str, float]:
    return {f"n={n}": round(value, 4) for n, value in means.items()}


if __name__ == "__main__":
    main()
