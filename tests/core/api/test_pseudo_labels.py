"""Self-training: where labels come from, what they change, and what they leave alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from rankloom.api import FitLog, Pipeline
from rankloom.api.fitting import train_data
from rankloom.api.pseudo_labels import FEWEST, confidence_of, label
from rankloom.config import PseudoLabelsConfig
from rankloom.errors import ConfigError
from rankloom.pipeline.handle import ModelHandle
from rankloom.pipeline.phases import PhaseQueries
from rankloom.protocols import CandidateBatch

WORDS = ["robot", "love", "war", "quiet", "harbour", "star"]


def frames(n_items: int = 60, n_users: int = 90) -> dict[str, pl.DataFrame]:
    """Users like one word; items have two; a third of the items nobody has touched."""
    generator = torch.Generator().manual_seed(3)
    words = torch.stack([torch.randperm(6, generator=generator)[:2] for _ in range(n_items)])
    rows = []
    for user in range(n_users):
        own = [i for i in range(n_items * 2 // 3) if user % 6 in words[i].tolist()]
        for time, place in enumerate(torch.randperm(len(own), generator=generator)[:6].tolist()):
            rows.append((f"u{user}", f"i{own[place]}", time))
    titles = [" ".join(WORDS[w] for w in pair) for pair in words.tolist()]
    log = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    items = pl.DataFrame({"item": [f"i{k}" for k in range(n_items)], "title": titles})
    return {"interactions": log, "items": items}


def config(labels: Any, **training: Any) -> dict[str, Any]:
    return {
        "data": {"split": {"type": "random", "train": 0.6, "validation": 0.2, "test": 0.2}},
        "model": {
            "items": {
                "encoders": {
                    "id": {"type": "embedding", "dim": 8},
                    "words": {"type": "tfidf", "field": "title", "min_count": 1, "dim": 4},
                }
            },
            "queries": {"encoders": {"history": "history_mean"}},
            "tasks": ["softmax"],
            "training": {
                "epochs": 4,
                "learning_rate": 0.03,
                "pseudo_labels": labels,
                **training,
            },
        },
    }


def fitted(labels: Any, **training: Any) -> Pipeline:
    pipeline = Pipeline.from_config(config(labels, **training))
    return pipeline.fit(**frames(), progress=False)


def scores(pipeline: Pipeline, users: torch.Tensor) -> Any:
    """Plain scores of all items, and the phase's queries."""
    parts = pipeline.parts
    queries = PhaseQueries(pipeline.dataset, pipeline.split.validation, parts.query_fields)
    handle = ModelHandle(parts.models["model"], parts.tables["model"])
    asked = queries.queries(users)
    return handle, queries, handle.score(asked, CandidateBatch(torch.arange(60))).values, asked


def test_the_threshold_is_where_precision_ends_by_brute_force() -> None:
    pipeline = fitted(None)
    parts = pipeline.parts
    queries = PhaseQueries(pipeline.dataset, pipeline.split.validation, parts.query_fields)
    handle, _, values, asked = scores(pipeline, queries.users)
    settings = PseudoLabelsConfig(confidence=0.12, most=5)
    found = confidence_of(handle, queries, settings, block=7)
    pairs = []
    for row in range(len(asked)):
        seen = set(asked.seen.values[asked.seen.row_ids() == row].tolist())
        wanted = set(queries.targets.whole(asked.users[row : row + 1]).items.values.tolist())
        allowed = [
            i for i in range(60) if i not in seen and bool(pipeline.split.validation.candidates[i])
        ]
        own = values[row, allowed].double()
        standard = (own - own.mean()) / own.var(correction=0).sqrt()
        best = sorted(zip(standard.tolist(), allowed, strict=True), reverse=True)[:5]
        pairs += [(z, item in wanted) for z, item in best]
    pairs.sort(key=lambda pair: -pair[0])
    hits, sure = 0, (0, 0.0, 0.0)
    for count, (z, hit) in enumerate(pairs, 1):
        hits += hit
        if count >= FEWEST and hits / count >= 0.12:
            sure = (count, z, hits / count)
    assert found.pairs == sure[0] > 0
    assert found.threshold == pytest.approx(sure[1], rel=1e-4)
    assert found.precision == pytest.approx(sure[2])
    assert found.precision >= 0.12


@pytest.mark.parametrize("items", ["known", "catalog"])
def test_labels_are_new_and_sure_pairs(items: str) -> None:
    pipeline = fitted(None)
    parts = pipeline.parts
    train = train_data(pipeline.dataset, pipeline.split.train, 0)
    queries = PhaseQueries(pipeline.dataset, pipeline.split.validation, parts.query_fields)
    handle = ModelHandle(parts.models["model"], parts.tables["model"])
    settings = PseudoLabelsConfig(confidence=0.02, most=8, items=items)
    found = confidence_of(handle, queries, settings, 32)
    made = label(handle, train, parts.query_fields, settings, found, 32)
    assert 0 < len(made) <= 8 * 90
    assert int(torch.bincount(made.users).max()) <= 8
    pairs = set(
        zip(train.interactions.users.tolist(), train.interactions.items.tolist(), strict=True)
    )
    fresh = list(zip(made.users.tolist(), made.items.tolist(), strict=True))
    assert len(set(fresh)) == len(fresh)
    assert not pairs & set(fresh)
    untouched = ~train.universe[made.items]
    assert bool(untouched.any()) == (items == "catalog")
    assert made.values.isnan().all()
    assert int(made.rows.min()) > int(train.interactions.rows.max())


def test_with_and_without_are_both_reported(tmp_path: Path) -> None:
    plain = fitted(None)
    pipeline = Pipeline.from_config(config({"confidence": 0.1}))
    pipeline.fit(**frames(), progress=False, run_dir=tmp_path / "run")
    log = pipeline.log
    assert log.confidence["model"].labels > 0
    # The teacher is the model that the same file without the option trains.
    assert log.taught["model"].best == plain.log.fitted["model"].best
    assert log.taught["model"].epochs == plain.log.fitted["model"].epochs
    assert log.fitted["model"].history != log.taught["model"].history
    assert "pseudo-labels of 'model'" in log.summary()
    assert FitLog.from_dict(json.loads(json.dumps(log.to_dict()))).confidence == log.confidence
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    (own,) = [line for line in lines if line.get("event") == "pseudo_labels"]
    assert own["labels"] == log.confidence["model"].labels
    # Labels are nobody's history: what a user is asked with is what he did.
    asked = PhaseQueries(pipeline.dataset, pipeline.split.test, pipeline.parts.query_fields)
    assert int(asked.positive_history.all.lengths.sum()) == len(pipeline.split.test.history)


def test_where_nothing_is_sure_the_model_is_the_plain_one() -> None:
    plain, sure = fitted(None), fitted({"confidence": 0.99})
    assert sure.log.confidence["model"].labels == 0
    assert sure.log.confidence["model"].precision < 0.99
    assert "the surest pairs were right" in sure.log.summary()
    one, two = (p.parts.models["model"].state_dict() for p in (plain, sure))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_second_fit_on_everything_labels_anew() -> None:
    wanted = config({"confidence": 0.05, "items": "catalog"})
    wanted["data"]["split"] = {"type": "cold_items", "fraction": 0.2}
    pipeline = Pipeline.from_config(wanted).fit(**frames(), progress=False)
    log = pipeline.log
    assert log.confidence["model"].labels > 0
    assert log.fitted["model"].best is not None
    (own,) = (v for k, v in pipeline.evaluate(progress=False).results.items() if k == "pipeline")
    assert own.n > 0


def test_what_learns_from_ratings_is_refused() -> None:
    wanted = config({"confidence": 0.3})
    wanted["model"]["tasks"] = ["mse"]
    rated = frames()
    rated["interactions"] = rated["interactions"].with_columns(rating=pl.lit(3.0))
    with pytest.raises(ConfigError, match=r"pseudo_labels.*learns from ratings"):
        Pipeline.from_config(wanted).fit(**rated, progress=False)
    with pytest.raises(ConfigError, match="confidence"):
        Pipeline.from_config(config({"confidence": 1.5}))
