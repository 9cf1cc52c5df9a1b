"""The regression on first items against scikit-learn's, and against popularity."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.linear_model import Ridge

from rankloom import Pipeline
from rankloom.errors import ConfigError
from rankloom.protocols import CandidateBatch, QueryBatch, RaggedIndices
from rankloom.protocols.history import History

N_ITEMS = 9


def fitted(**settings: object) -> Pipeline:
    generator = np.random.default_rng(4)
    rows = []
    for user in range(40):
        taken = generator.integers(0, N_ITEMS, generator.integers(3, 9)).tolist()
        rows += [(f"u{user}", f"i{i}", at) for at, i in enumerate([*taken, taken[0]])]
    rows += [("u0", f"i{i}", 100 + i) for i in range(N_ITEMS)]
    frame = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    config = {
        "name": "first",
        "data": {"split": {"type": "fold_in", "support": 2, "fraction": 0.2}},
        "scorer": {"type": "prefix_ridge", **settings},
    }
    return Pipeline.from_config(config).fit(frame, progress=False)


def scores(pipeline: Pipeline, histories: list[list[int]], each: bool = False) -> torch.Tensor:
    assert pipeline.parts is not None
    events = RaggedIndices.from_lists(histories)
    n, q = len(events.values), len(histories)
    history = History(events, torch.ones(n), torch.zeros(n).long(), torch.arange(n))
    queries = QueryBatch(torch.full((q,), -1), history, events, torch.zeros(q).long())
    items = torch.arange(N_ITEMS)
    candidates = CandidateBatch(items.expand(q, -1)) if each else CandidateBatch(items, whole=True)
    return pipeline.parts.scorer.score(queries, candidates).values


def first_and_all(pipeline: Pipeline, length: int) -> tuple[np.ndarray, np.ndarray]:
    """``[users, items]`` of the first distinct items and of all, by hand."""
    assert pipeline.dataset is not None
    assert pipeline.split is not None
    assert pipeline.split.refit is not None
    log = pipeline.dataset.interactions.select(pipeline.split.refit)
    taken: dict[int, list[int]] = {}
    for user, item, _ in sorted(
        zip(log.users.tolist(), log.items.tolist(), log.times.tolist(), strict=True),
        key=lambda row: (row[0], row[2]),
    ):
        own = taken.setdefault(user, [])
        if item not in own:
            own.append(item)
    first, whole = np.zeros((len(taken), N_ITEMS)), np.zeros((len(taken), N_ITEMS))
    for row, own in enumerate(taken.values()):
        first[row, own[:length]] = 1
        whole[row, own] = 1
    return first, whole


@pytest.mark.parametrize(("length", "l2"), [(1, 0.5), (3, 2.0), (100, 10.0)])
def test_against_scikit_learn(length: int, l2: float) -> None:
    pipeline = fitted(l2=l2, lengths=[length])
    first, whole = first_and_all(pipeline, length)
    assert first.sum() <= whole.sum()
    shares = whole.mean(0)
    oracle = Ridge(alpha=l2, fit_intercept=False).fit(first, whole - shares)
    histories = [[0], [4, 4, 1], [7, 2, 3, 5]]
    asked = np.zeros((3, N_ITEMS))
    for row, known in enumerate(histories):
        asked[row, known] = 1
    expected = torch.from_numpy(shares + oracle.predict(asked)).float()
    torch.testing.assert_close(scores(pipeline, histories), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        scores(pipeline, histories, each=True), expected, atol=1e-5, rtol=1e-4
    )


def test_several_lengths_average_their_equations() -> None:
    pipeline = fitted(l2=2.0, lengths=[1, 4])
    gram, moved = 2.0 * np.eye(N_ITEMS), np.zeros((N_ITEMS, N_ITEMS))
    for length in (1, 4):
        first, whole = first_and_all(pipeline, length)
        gram += first.T @ first / 2
        moved += first.T @ (whole - whole.mean(0)) / 2
    weights = np.linalg.solve(gram, moved)
    expected = torch.from_numpy(whole.mean(0) + weights[3]).float()
    torch.testing.assert_close(scores(pipeline, [[3]])[0], expected, atol=1e-5, rtol=1e-4)


def test_a_strong_ridge_is_popularity_and_nobody_known_is_unknown() -> None:
    pipeline = fitted(l2=1e9)
    found = scores(pipeline, [[3], []])
    _, whole = first_and_all(pipeline, 1)
    torch.testing.assert_close(found[0], torch.from_numpy(whole.mean(0)).float())
    assert found[1].isnan().all()


@pytest.mark.parametrize("settings", [{"lengths": []}, {"lengths": [0]}, {"l2": 0}])
def test_wrong_settings(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        fitted(**settings)


def test_too_many_items() -> None:
    with pytest.raises(ConfigError, match="more than max_items = 3"):
        fitted(max_items=3)
