"""Markov, EASE and their blend on ML-100K, leave-last-out, all ratings positive, full ranking.

Fitted on everything but each user's last two events; validation ranks the last but one, test the
last (its history then holds the validation event). Ties in time keep the order of the file; all
unseen items of the training universe are ranked, and a target outside it counts 0::

    PYTHONPATH=core:plugins python tests/benchmarks/bench_markov_llo.py DATA/movielens-100k/u.data

``--search`` prints the NDCG@10 of settings around Markov's defaults instead, averaged over the
held-out positions -2 to -6 of every user (each fitted on what came before); the last event, the
test, is not looked at. That table is where the defaults come from.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import torch
from closed_forms import block, ndcg, read, train_data, validation

from rankloom.components import ComponentConfig
from rankloom.data.interactions import Interactions
from rankloom.protocols import Build, Scorer, TrainData, ValidationBlock
from rankloom_plugins.collaborative.ease import Ease
from rankloom_plugins.collaborative.markov import Markov
from rankloom_plugins.collaborative.plugin import EaseConfig, MarkovConfig, PopularityConfig
from rankloom_plugins.collaborative.popularity import Popularity
from rankloom_plugins.scorers.blend import Blend
from rankloom_plugins.scorers.plugin import BlendConfig

CLASSES = {EaseConfig: Ease, MarkovConfig: Markov, PopularityConfig: Popularity}


def build_part(kind: str, config: ComponentConfig) -> Scorer:
    """Build a part of the blend."""
    return CLASSES[type(config)](config, Build())  # type: ignore[index,abstract]


def position(log: Interactions, last: int) -> tuple[TrainData, ValidationBlock]:
    """Fit on all but each user's last ``last`` events, judge the first of those."""
    counts = torch.bincount(log.users)
    left = counts.cumsum(0)[log.users] - torch.arange(len(log))
    past = log.select(left > last)
    train = train_data(past)
    return train, block(past, past, log.select(left == last), train.universe)


def phases(log: Interactions) -> tuple[TrainData, ValidationBlock, ValidationBlock]:
    """Return the training data and what validation and test are judged on."""
    counts = torch.bincount(log.users)
    left = counts.cumsum(0)[log.users] - 1 - torch.arange(len(log))
    past, valid, test = (log.select(mask) for mask in (left >= 2, left == 1, left == 0))
    train = train_data(past)
    visible = log.select(left >= 1)
    return (
        train,
        block(past, past, valid, train.universe),
        block(visible, visible, test, train.universe),
    )


def mean_ndcg(scorer: Scorer, judged: ValidationBlock) -> float:
    """Return the mean NDCG@10."""
    return float(ndcg(scorer.score(judged.queries, judged.candidates).values, judged).mean())


def search(log: Interactions) -> None:
    """Print the mean NDCG@10 over positions -2 to -6 of Markov's settings, best last."""
    found = []
    judged = [position(log, last) for last in range(2, 7)]
    grid = itertools.product(
        (5, 10, 20, 30), (0.8, 0.9, 0.95), (5.0, 10.0, 20.0, 50.0), (0.75, 0.8, 0.85, 0.9)
    )
    for window, window_decay, shrinkage, decay in grid:
        config = MarkovConfig(
            window=window, window_decay=window_decay, shrinkage=shrinkage, decay=decay
        )
        values = []
        for train, valid in judged:
            markov = Markov(config, Build())
            markov.fit(train)
            values.append(mean_ndcg(markov, valid))
        found.append((sum(values) / len(values), config, values))
    for value, config, values in sorted(found, key=lambda row: row[0])[-25:]:
        by_position = [round(v, 4) for v in values]
        settings = config.model_dump(exclude={"type", "max_length", "dense_items"})
        print(f"{value:.4f}  {settings}  {by_position}")


def main() -> None:
    """Print NDCG@10 on validation and test for each part and for their calibrated blend."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="u.data of ML-100K")
    parser.add_argument("--search", action="store_true", help="try settings on earlier positions")
    args = parser.parse_args()
    log = read(args.data)
    if args.search:
        search(log)
        return
    train, valid, test = phases(log)
    parts: list[ComponentConfig] = [PopularityConfig(), EaseConfig(), MarkovConfig()]
    blend = BlendConfig(parts=[EaseConfig(), MarkovConfig()])
    for config in [*parts, blend]:
        started = time.perf_counter()
        if isinstance(config, BlendConfig):
            scorer: Scorer = Blend(config, Build(child=build_part))
        else:
            scorer = build_part("scorer", config)
        scorer.fit(train)  # type: ignore[attr-defined]
        fitted = time.perf_counter() - started
        if isinstance(scorer, Blend):
            scorer.calibrate(validation(valid))
            print(f"weights (ease, markov): {[round(w, 3) for w in scorer.weights.tolist()]}")
        whole = time.perf_counter() - started
        print(
            f"{config.type}: validation {mean_ndcg(scorer, valid):.4f}, test "
            f"{mean_ndcg(scorer, test):.4f} (fit {fitted:.2f} s, with calibration {whole:.2f} s)"
        )


if __name__ == "__main__":
    main()
