"""EASE on ML-100K, random 80/10/10 per user, all ratings positive, full ranking, no refit.

History = train; train and validation items are excluded from the test ranking. The ridge strength
is chosen by the mean validation NDCG@10 over the seeds::

    PYTHONPATH=core:plugins python tests/benchmarks/bench_ease_random.py DATA/movielens-100k/u.data
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch
from closed_forms import block, ndcg, read, train_data
from torch import Tensor

from rankloom.data.interactions import Interactions
from rankloom.evaluation import average_seeds, bootstrap_mean
from rankloom.evaluation.ranking import RankingResult
from rankloom.protocols import Build, TrainData, ValidationBlock
from rankloom_plugins.collaborative.ease import Ease
from rankloom_plugins.collaborative.plugin import EaseConfig, PopularityConfig
from rankloom_plugins.collaborative.popularity import Popularity


def divide(log: Interactions, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return bool masks of train, validation and test: 80/10/10 of each user's rows by seed."""
    keys = torch.rand(len(log), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    order = (log.users.double() + keys).argsort()
    counts = torch.bincount(log.users)
    starts = counts.cumsum(0) - counts
    place = torch.empty_like(order)
    place[order] = torch.arange(len(log)) - starts[log.users[order]]
    held = (counts[log.users] * 0.1).round().long()
    return place >= 2 * held, (place >= held) & (place < 2 * held), place < held


def phases(log: Interactions, seed: int) -> tuple[TrainData, ValidationBlock, ValidationBlock]:
    """Return the training data and what validation and test are judged on."""
    fit, valid, test = divide(log, seed)
    train = train_data(log.select(fit))
    past = log.select(fit)
    judge_valid = block(past, past, log.select(valid), train.universe)
    judge_test = block(past, log.select(fit | valid), log.select(test), train.universe)
    return train, judge_valid, judge_test


def main() -> None:
    """Print validation NDCG@10 for each ridge strength, and the test's for the chosen one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="u.data of ML-100K")
    parser.add_argument("--l2", type=float, nargs="+", default=[100, 250, 350, 500, 750, 1000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    log = read(args.data)
    parts = [phases(log, seed) for seed in args.seeds]
    results: dict[float, tuple[float, list[RankingResult]]] = {}
    for l2 in args.l2:
        started = time.perf_counter()
        valid: list[RankingResult] = []
        test: list[RankingResult] = []
        for train, judge_valid, judge_test in parts:
            ease = Ease(EaseConfig(l2=l2), Build())
            ease.fit(train)
            for judged, values in ((judge_valid, valid), (judge_test, test)):
                scores = ease.score(judged.queries, judged.candidates).values
                each = ndcg(scores, judged)
                values.append(RankingResult({"ndcg@10": each}, judged.queries.users))
        results[l2] = (statistics.mean(r.mean("ndcg@10") for r in valid), test)
        seconds = (time.perf_counter() - started) / len(parts)
        print(f"ease l2={l2:g}: validation ndcg@10 {results[l2][0]:.4f} ({seconds:.2f} s a seed)")
    chosen = max(results, key=lambda l2: results[l2][0])
    test = results[chosen][1]
    each_seed = [result.mean("ndcg@10") for result in test]
    interval = bootstrap_mean(average_seeds(test).values["ndcg@10"])
    print(
        f"ease, chosen on validation l2={chosen:g}: test ndcg@10 "
        f"{statistics.mean(each_seed):.4f} ({', '.join(f'{value:.4f}' for value in each_seed)}), "
        f"averaged per user [{interval.low:.4f}, {interval.high:.4f}]"
    )
    popular = []
    for train, _, judged in parts:
        scorer = Popularity(PopularityConfig(), Build())
        scorer.fit(train)
        scores = scorer.score(judged.queries, judged.candidates).values
        popular.append(float(ndcg(scores, judged).mean()))
    print(f"popularity: test ndcg@10 {sum(popular) / len(popular):.4f}")


if __name__ == "__main__":
    main()
