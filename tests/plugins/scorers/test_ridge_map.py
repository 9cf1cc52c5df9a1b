"""``ridge_map``: closed forms, factors, choice of settings, bundles and new items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from rankloom.api import Pipeline
from rankloom.api.fitting import train_data
from rankloom.errors import ConfigError
from rankloom_plugins.scorers.ridge import BlockRidge, RidgeSettings
from rankloom_plugins.scorers.ridge_choice import damped

WORDS = ["robot", "love", "war", "quiet", "harbour", "star"]


def frames(n_items: int = 40, n_users: int = 60) -> dict[str, pl.DataFrame]:
    """Users like one word; items have two."""
    generator = torch.Generator().manual_seed(3)
    words = torch.stack([torch.randperm(6, generator=generator)[:2] for _ in range(n_items)])
    rows = []
    for user in range(n_users):
        likes = user % 6
        own = [item for item in range(n_items) if likes in words[item].tolist()]
        for time, place in enumerate(torch.randperm(len(own), generator=generator)[:8].tolist()):
            rows.append((f"u{user}", f"i{own[place]}", time))
    titles = [" ".join(WORDS[w] for w in pair) for pair in words.tolist()]
    items = {"item": [f"i{k}" for k in range(n_items)], "title": titles}
    log = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    return {"interactions": log, "items": pl.DataFrame(items)}


def config(**settings: Any) -> dict[str, Any]:
    words = {"type": "tfidf", "field": "title", "min_count": 1, "terms": 16}
    return {
        "data": {"split": {"type": "cold_items", "fraction": 0.3}},
        "models": {"content": {"items": {"encoders": {"words": words}}}},
        "scorer": {"type": "ridge_map", **settings},
        "evaluation": {"k": [5]},
    }


def fitted(**settings: Any) -> Pipeline:
    pipeline = Pipeline.from_config(config(**settings))
    return pipeline.fit(**frames(), progress=False)


@pytest.mark.parametrize("rows", [30, 5])
def test_equals_the_closed_form_in_both_forms(rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    blocks = {
        "a": torch.randn(rows, 4, generator=generator).double(),
        "b": torch.randn(rows, 6, generator=generator).double(),
    }
    new = {name: torch.randn(3, block.shape[1]).double() for name, block in blocks.items()}
    ridge = BlockRidge(blocks)
    assert ridge.by_features == (rows == 30)
    settings = RidgeSettings(0.7, {"a": 3.0})
    x = torch.cat([blocks["a"] * 0.75**0.5, blocks["b"] * 0.25**0.5], 1)
    x_new = torch.cat([new["a"] * 0.75**0.5, new["b"] * 0.25**0.5], 1)
    want = torch.linalg.solve(x @ x.T + 0.7 * torch.eye(rows), x @ x_new.T)
    torch.testing.assert_close(ridge.operator(settings, new), want)
    kept = ridge.matrix(settings, torch.ones(rows).double()).operator(_float(new))
    torch.testing.assert_close(kept, want.float(), atol=1e-5, rtol=1e-4)


def test_a_quadratic_kernel_is_ridge_on_features_and_their_pairs() -> None:
    generator = torch.Generator().manual_seed(1)
    x, x_new = (torch.randn(n, 5, generator=generator).double() for n in (20, 3))

    def pairs(rows: torch.Tensor) -> torch.Tensor:
        return torch.cat([rows, (rows[:, :, None] * rows[:, None]).flatten(1) / 2], 1)

    wide = pairs(x)
    want = wide @ torch.linalg.solve(
        wide.T @ wide + 0.7 * torch.eye(30, dtype=torch.float64), pairs(x_new).T
    )
    ridge, settings = BlockRidge({"a": x}), RidgeSettings(0.7, kernel="quadratic")
    torch.testing.assert_close(ridge.operator(settings, {"a": x_new}), want)
    scale = torch.rand(20, generator=generator).double()
    kept = ridge.matrix(settings, scale).operator({"a": x_new.float()})
    torch.testing.assert_close(kept, (scale[:, None] * want).float(), atol=1e-5, rtol=1e-4)


def test_damping_evens_out_what_varies_much() -> None:
    moved = torch.randn(500, 3) * torch.tensor([0.1, 1.0, 4.0])
    torch.testing.assert_close(damped(moved, 0.0), torch.ones(3).double())
    even = (moved * damped(moved, 1.0)).std(0)
    assert float(even.max() / even.min()) < 1.01
    half = (moved * damped(moved, 0.5)).std(0)
    assert 0.1 < float(half[0] / half[2]) < 0.25


def _float(blocks: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: block.float() for name, block in blocks.items()}


def test_content_finds_items_that_nobody_touched() -> None:
    pipeline = fitted()
    (own,) = (v for k, v in pipeline.evaluate(progress=False).results.items() if k == "pipeline")
    random = 0.3
    assert own.mean("ndcg@5") > 2 * random
    scorer: Any = pipeline.parts.scorer
    assert scorer.settings.l2 > 0


def test_known_items_keep_the_other_scorers_scores() -> None:
    pipeline = Pipeline.from_config({**config(), "data": {"split": "leave_last_out"}})
    pipeline.fit(**frames(), progress=False)
    scorer: Any = pipeline.parts.scorer
    ease = Pipeline.from_config({"scorer": "ease", "data": {"split": "leave_last_out"}})
    ease.fit(**frames(), progress=False)
    one, two = pipeline.recommend(user="u1", k=40), ease.recommend(user="u1", k=40)
    theirs = dict(zip(two.items, two.scores, strict=True))
    universe = {pipeline.dataset.items.ids.ids[i] for i in scorer.universe.tolist()}
    compared = 0
    for item, score in zip(one.items, one.scores, strict=True):
        if item in universe and item in theirs:
            assert score == pytest.approx(theirs[item], abs=1e-5)
            compared += 1
    assert compared > 5


def test_items_seen_little_come_nearer_to_their_content() -> None:
    plain, mixed = fitted(l2=2.0), fitted(l2=2.0, prior=4.0)
    whole, near = (p.parts.scorer for p in (plain, mixed))
    from rankloom.data.histories import training_queries
    from rankloom.protocols import CandidateBatch

    train = train_data(plain.dataset, plain.split.refit, 0)
    queries = training_queries(train, 5)
    items = torch.arange(40)
    base = whole.base.score(queries, CandidateBatch(items)).values
    mapped = whole._mapped(base[:, whole.universe], items)
    n = torch.bincount(train.interactions.items, minlength=40)
    share = n / (n + 4.0)
    share = torch.where(share > 0.95, 1.0, share)
    want = torch.where(n > 0, share * base + (1 - share) * mapped, mapped)
    found = near.score(queries, CandidateBatch(items)).values
    torch.testing.assert_close(found, want, atol=1e-5, rtol=1e-4)
    own = near.score(queries, CandidateBatch(items[None].expand(5, 40))).values
    torch.testing.assert_close(own, want, atol=1e-5, rtol=1e-4)
    assert torch.equal(near.knows(items), n > 0)


def test_over_an_inner_product_it_maps_the_factors() -> None:
    wanted = config(
        of={"type": "model", "name": "ids"}, model="content", l2=2.0, kernel="linear", damping=0.0
    )
    wanted["models"]["ids"] = {
        "items": {"encoders": {"id": {"type": "embedding", "dim": 8}}},
        "queries": {"encoders": {"history": "history_mean"}},
        "tasks": ["softmax"],
        "training": {"epochs": 2, "learning_rate": 0.05},
    }
    pipeline = Pipeline.from_config(wanted).fit(**frames(), progress=False)
    parts = pipeline.parts
    assert parts is not None
    scorer: Any = parts.scorer
    table = parts.tables["ids"]
    cold = (~scorer.knows(torch.arange(40))).nonzero()[:, 0]
    blocks = scorer.space.blocks(scorer.source.parts(), torch.arange(40))
    x = blocks["words"]
    factors = table.vectors[scorer.universe].double()
    centred = factors - factors.mean(0)
    u = scorer.universe
    weights = torch.linalg.solve(
        x[u].T @ x[u] + 2.0 * torch.eye(x.shape[1], dtype=torch.float64), x[u].T @ centred
    )
    predicted = (factors.mean(0) + x[cold] @ weights).float()
    from rankloom.pipeline.phases import PhaseQueries
    from rankloom.protocols import CandidateBatch

    assert pipeline.dataset is not None
    assert pipeline.split is not None
    queries = PhaseQueries(pipeline.dataset, pipeline.split.test, parts.query_fields)
    batch, _, _ = next(iter(queries.blocks(16)))
    vectors, _ = parts.handles["ids"].encode(batch)
    found = scorer.score(batch, CandidateBatch(cold)).values
    torch.testing.assert_close(found, vectors.vectors @ predicted.T, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("kernel", ["linear", "quadratic"])
def test_bundle_and_new_items(tmp_path: Path, kernel: str) -> None:
    pipeline = fitted(kernel=kernel)
    pipeline.save(tmp_path / "bundle")
    again = Pipeline.load(tmp_path / "bundle")
    before, after = pipeline.recommend(user="u1", k=5), again.recommend(user="u1", k=5)
    assert before.items == after.items
    assert before.scores == pytest.approx(after.scores, abs=1e-6)
    again.add_items([{"id": "new", "title": "love love"}, {"id": "blank", "title": None}])
    likes_love = next(u for u in range(60) if u % 6 == 1)
    assert "new" in again.recommend(user=f"u{likes_love}", k=12).items


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match="words"):
        fitted(weights={"wrds": 1.0})
    with pytest.raises(ConfigError, match=r"there is no model 'contents'.*Did you mean 'content'"):
        Pipeline.from_config(config(model="contents"))
    with pytest.raises(ConfigError, match="model"):
        Pipeline.from_config({"scorer": "ridge_map"}).fit(**frames(), progress=False)
