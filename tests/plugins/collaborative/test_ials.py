"""``ials``: implicit's factors, exact fold-in, bundles, and as a target of ``ridge_map``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from scipy import sparse
from threadpoolctl import threadpool_limits

from rankloom.api import Pipeline
from rankloom.protocols import CandidateBatch, History, QueryBatch, RaggedIndices

N_USERS, N_ITEMS = 40, 25


def log() -> pl.DataFrame:
    generator = torch.Generator().manual_seed(0)
    rows = []
    for user in range(N_USERS):
        first = (user % 2) * 10
        liked = first + torch.randperm(15, generator=generator)[: 3 + user % 6]
        rows += [(f"u{user}", f"i{item}", time) for time, item in enumerate(liked.tolist())]
    return pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")


def fitted(**settings: Any) -> Pipeline:
    scorer = {"type": "ials", "factors": 6, "l2": 0.5, "confidence": 5.0, **settings}
    return Pipeline.from_config({"scorer": scorer}).fit(log(), progress=False)


def queries(histories: list[list[int]]) -> QueryBatch:
    lengths = torch.tensor([len(one) for one in histories])
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    flat = torch.tensor([item for one in histories for item in one], dtype=torch.long)
    items = RaggedIndices(flat, offsets)
    nothing = torch.zeros(len(flat))
    history = History(items, nothing, nothing.long(), torch.arange(len(flat)))
    n = len(histories)
    return QueryBatch(torch.full((n,), -1), history, items, torch.zeros(n, dtype=torch.long))


def test_equals_implicits_own_recommendations() -> None:
    from implicit.cpu.als import AlternatingLeastSquares

    pipeline = fitted()
    scorer: Any = pipeline.parts.scorer
    rows = pipeline.split.refit if pipeline.split.refit is not None else pipeline.split.train
    events = pipeline.dataset.interactions.select(rows)
    column = scorer.column_of[events.items].numpy()
    shape = (len(pipeline.dataset.users), len(scorer.universe))
    taken = sparse.csr_matrix(
        (np.ones(len(column), dtype=np.float32), (events.users.numpy(), column)), shape=shape
    )
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=6, regularization=0.5, alpha=5.0, use_cg=False, num_threads=1, random_state=0
        )
        model.fit(taken, show_progress=False)
    torch.testing.assert_close(
        scorer.factors, torch.from_numpy(np.array(model.item_factors)), atol=1e-5, rtol=1e-4
    )
    histories = [events.items[events.users == user].tolist() for user in range(N_USERS)]
    asked = queries(histories)
    found = scorer.score(asked, CandidateBatch(scorer.universe)).values
    users = model.recalculate_user(np.arange(N_USERS), taken)
    want = torch.from_numpy(np.array(users @ model.item_factors.T))
    torch.testing.assert_close(found, want, atol=1e-3, rtol=1e-3)


def test_fold_in_minimises_the_loss_of_a_new_user() -> None:
    scorer: Any = fitted().parts.scorer
    taken = scorer.universe[:4].tolist()
    vector = scorer.users(queries([taken, []]).history).double()
    y = scorer.factors.double()
    want = torch.zeros(len(y), dtype=torch.float64)
    want[:4] = 1.0
    weight = torch.where(want > 0, 5.0, 1.0).double()
    x = vector[0].clone().requires_grad_(True)
    loss = (weight * (want - y @ x).square()).sum() + 0.5 * x.square().sum()
    loss.backward()
    assert float(x.grad.abs().max()) < 1e-4
    assert not vector[1].any()


def test_unknown_items_and_empty_histories_have_no_score() -> None:
    scorer: Any = fitted().parts.scorer
    known = scorer.universe[:2].tolist()
    scorer.extend(N_ITEMS + 3)
    asked = queries([known, [], [N_ITEMS + 1]])
    both = torch.tensor([scorer.universe[0].item(), N_ITEMS + 2])
    shared = scorer.score(asked, CandidateBatch(both)).values
    assert shared.isnan().tolist() == [[False, True], [True, True], [True, True]]
    own = scorer.score(asked, CandidateBatch(both.expand(3, 2))).values
    torch.testing.assert_close(shared, own, equal_nan=True)


def test_bundle(tmp_path: Path) -> None:
    pipeline = fitted()
    pipeline.save(tmp_path / "bundle")
    again = Pipeline.load(tmp_path / "bundle")
    assert again.recommend("u3", k=5).items == pipeline.recommend("u3", k=5).items


def test_ridge_map_continues_it_to_new_items() -> None:
    words = {"type": "tfidf", "field": "title", "min_count": 1, "terms": 4}
    config = {
        "data": {"split": {"type": "cold_items", "fraction": 0.3}},
        "models": {"content": {"items": {"encoders": {"words": words}}}},
        "scorer": {"type": "ridge_map", "of": {"type": "ials", "factors": 4, "l2": 1.0}},
        "evaluation": {"k": [3], "baselines": False},
    }

    def judged(titles: list[str]) -> float:
        items = pl.DataFrame({"item": [f"i{n}" for n in range(25)], "title": titles})
        pipeline = Pipeline.from_config(config).fit(log(), items, progress=False)
        (own,) = pipeline.evaluate(progress=False).results.values()
        return float(own.mean("ndcg@3"))

    titles = ["left"] * 10 + ["both"] * 5 + ["right"] * 10
    mixed = [titles[(7 * n) % 25] for n in range(25)]
    assert judged(titles) > judged(mixed) + 0.1


@pytest.mark.parametrize("seed", [0, 1])
def test_the_seed_decides(seed: int) -> None:
    one, two = fitted().parts.scorer, fitted().parts.scorer
    assert torch.equal(one.factors, two.factors)
    config = {"seed": seed + 5, "scorer": {"type": "ials", "factors": 6, "l2": 0.5}}
    other: Any = Pipeline.from_config(config).fit(log(), progress=False).parts.scorer
    assert not torch.equal(one.factors, other.factors)
