"""Popularity, EASE and Markov against brute force in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rankloom.data.ids import IdMap
from rankloom.data.interactions import Interactions
from rankloom.data.tables import Table
from rankloom.errors import ConfigError, NotFittedError
from rankloom.protocols import (
    Build,
    CandidateBatch,
    History,
    QueryBatch,
    RaggedIndices,
    Scorer,
    TrainData,
)
from rankloom_plugins.collaborative.ease import Ease
from rankloom_plugins.collaborative.item_knn import ItemKnn
from rankloom_plugins.collaborative.markov import Markov
from rankloom_plugins.collaborative.plugin import (
    EaseConfig,
    ItemKnnConfig,
    MarkovConfig,
    PopularityConfig,
    PrefixRidgeConfig,
    register_scorers,
)
from rankloom_plugins.collaborative.popularity import Popularity
from rankloom_plugins.collaborative.prefix_ridge import PrefixRidge

N_ITEMS = 9
#: Item 7 is never taken, item 8 only by a row that is not positive.
SEQUENCES = [[0, 1, 2, 3], [1, 2, 4], [5, 1, 2, 0, 3, 6], [3, 4, 1], [6]]


def training(sequences: Sequence[Sequence[int]], negatives: Sequence[tuple[int, int]]) -> TrainData:
    rows = [(u, i, True) for u, items in enumerate(sequences) for i in items]
    rows += [(u, i, False) for u, i in negatives]
    users, items, positive = (torch.tensor(column) for column in zip(*rows, strict=True))
    order = torch.arange(len(rows))
    log = Interactions(users, items, torch.ones(len(rows)), order * 10, order)
    sort = log.order()
    log, positive = log.select(sort), positive[sort]
    universe = torch.zeros(N_ITEMS, dtype=torch.bool)
    universe[log.items[positive]] = True
    empty = pl.DataFrame()
    return TrainData(
        log,
        positive,
        Table("item", IdMap(range(N_ITEMS)), empty),
        Table("user", IdMap(range(len(sequences))), empty),
        universe,
        torch.ones(len(sequences), dtype=torch.bool),
    )


def queries(histories: Sequence[Sequence[int]]) -> QueryBatch:
    items = RaggedIndices.from_lists(histories)
    total, n = len(items.values), len(histories)
    zeros = torch.zeros(total, dtype=torch.long)
    history = History(items, torch.ones(total), zeros, zeros)
    none = RaggedIndices.from_lists([[]] * n)
    return QueryBatch(torch.full((n,), -1), history, none, torch.zeros(n, dtype=torch.long))


def catalog() -> CandidateBatch:
    return CandidateBatch(torch.arange(N_ITEMS))


TRAIN = training(SEQUENCES, [(0, 8), (2, 8)])
BUILDS: dict[str, Any] = {
    "popularity": lambda: Popularity(PopularityConfig(), Build()),
    "ease": lambda: Ease(EaseConfig(l2=0.7), Build()),
    "markov": lambda: Markov(
        MarkovConfig(window=3, window_decay=0.9, shrinkage=20, decay=0.8), Build()
    ),
    "sparse": lambda: Markov(
        MarkovConfig(window=3, window_decay=0.9, shrinkage=20, decay=0.8, dense_items=0), Build()
    ),
    "item_knn": lambda: ItemKnn(ItemKnnConfig(neighbours=2, shrinkage=0.5), Build()),
    "sparse item_knn": lambda: ItemKnn(
        ItemKnnConfig(neighbours=2, shrinkage=0.5, dense_items=0), Build()
    ),
    "prefix_ridge": lambda: PrefixRidge(PrefixRidgeConfig(l2=0.7, lengths=[1, 2]), Build()),
}
HISTORY_MODELS = [name for name in BUILDS if name != "popularity"]


def fitted(name: str, train: TrainData = TRAIN) -> Any:
    scorer = BUILDS[name]()
    scorer.fit(train)
    return scorer


def brute_ease(l2: float) -> np.ndarray:
    x = np.zeros((len(SEQUENCES), 7))
    for user, items in enumerate(SEQUENCES):
        x[user, items] = 1.0
    weights = np.zeros((7, 7))
    for j in range(7):  # each column is the ridge regression of j on all other items
        others = [i for i in range(7) if i != j]
        a = x[:, others]
        weights[others, j] = np.linalg.solve(a.T @ a + l2 * np.eye(6), a.T @ x[:, j])
    return weights


def brute_markov(window: int, decay: float, shrinkage: float) -> np.ndarray:
    counts = np.zeros((7, 7))
    for items in SEQUENCES:
        for start, i in enumerate(items):
            for distance, j in enumerate(items[start + 1 : start + 1 + window]):
                counts[i, j] += decay**distance
    norm = np.sqrt(np.outer(counts.sum(1) + shrinkage, counts.sum(0) + shrinkage))
    return counts / norm


def test_popularity_is_the_log_of_positive_counts() -> None:
    scores = fitted("popularity").score(queries([[0], []]), catalog())
    counts = np.bincount([i for items in SEQUENCES for i in items], minlength=7)
    expected = np.concatenate([np.log(counts), [np.nan, np.nan]])
    np.testing.assert_allclose(scores.values.numpy(), np.stack([expected] * 2), rtol=1e-6)
    assert scores.scale == "logit"


def test_ease_is_a_ridge_regression_of_each_item_on_the_others() -> None:
    ease = fitted("ease")
    np.testing.assert_allclose(ease.matrix.numpy(), brute_ease(0.7), atol=1e-6)
    assert torch.all(ease.matrix.diagonal() == 0)


def test_ease_folds_a_history_in_as_its_row_of_the_product() -> None:
    scores = fitted("ease").score(queries(SEQUENCES), catalog()).values
    x = np.zeros((len(SEQUENCES), 7))
    for user, items in enumerate(SEQUENCES):
        x[user, items] = 1.0
    np.testing.assert_allclose(scores[:, :7].numpy(), x @ brute_ease(0.7), atol=1e-6)
    assert scores[:, 7:].isnan().all()


def test_ease_counts_a_repeated_item_once() -> None:
    ease = fitted("ease")
    once = ease.score(queries([[1, 2]]), catalog()).values
    thrice = ease.score(queries([[2, 1, 2, 2]]), catalog()).values
    torch.testing.assert_close(once, thrice, equal_nan=True)


@pytest.mark.parametrize("name", ["markov", "sparse"])
def test_markov_sums_decayed_transitions(name: str) -> None:
    table = brute_markov(3, 0.9, 20.0)
    history = [3, 1, 2, 5]
    expected = sum(0.8**k * table[item] for k, item in enumerate(reversed(history)))
    scores = fitted(name).score(queries([history, [2]]), catalog()).values
    np.testing.assert_allclose(scores[0, :7].numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(scores[1, :7].numpy(), table[2], rtol=1e-5)


def test_markov_uses_the_latest_events_that_something_followed() -> None:
    markov = Markov(MarkovConfig(window=3, shrinkage=20, max_length=2), Build())
    markov.fit(TRAIN)
    long = markov.score(queries([[5, 3, 1, 2]]), catalog()).values
    # 6 is always last, 7 unknown, -1 a pseudo-item: none of them pushes the others back.
    noisy = markov.score(queries([[1, 7, 2, -1, 6]]), catalog()).values
    short = markov.score(queries([[1, 2]]), catalog()).values
    torch.testing.assert_close(long, short, equal_nan=True)
    torch.testing.assert_close(noisy, short, equal_nan=True)


@pytest.mark.parametrize("name", HISTORY_MODELS)
def test_unknown_is_nan(name: str) -> None:
    scorer = fitted(name)
    scores = scorer.score(queries([[], [7, 8], [-1], [1]]), catalog()).values
    assert scores[:3].isnan().all()
    assert scores[3, :7].isfinite().all()
    assert scores[3, 7:].isnan().all()


@pytest.mark.parametrize("name", BUILDS)
def test_added_items_and_padding_are_nan(name: str) -> None:
    scorer = fitted(name)
    ask = CandidateBatch(torch.tensor([[1, -1, 10, 3]]))
    before = scorer.score(queries([[2]]), ask).values
    scorer.extend(12)
    after = scorer.score(queries([[2]]), ask).values
    torch.testing.assert_close(before, after, equal_nan=True)
    assert after.isnan().tolist() == [[False, True, True, False]]
    assert scorer.score(queries([[10, 11, 2]]), ask).values.isfinite()[0, 0]


@pytest.mark.parametrize("name", BUILDS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_candidates_read_the_same_catalog_scores(name: str, data: st.DataObject) -> None:
    scorer = fitted(name)
    item = st.integers(-1, N_ITEMS - 1)
    histories = data.draw(st.lists(st.lists(item, max_size=6), min_size=1, max_size=4))
    width = data.draw(st.integers(0, 12))
    row = st.lists(item, min_size=width, max_size=width)
    wanted = torch.tensor([data.draw(row) for _ in histories], dtype=torch.long)
    batch = queries(histories)
    whole = scorer.score(batch, catalog()).values
    expected = whole.gather(1, wanted.clamp(min=0)).masked_fill(wanted < 0, torch.nan)
    own = scorer.score(batch, CandidateBatch(wanted)).values
    torch.testing.assert_close(own, expected, equal_nan=True)
    shared = scorer.score(batch, CandidateBatch(wanted[0])).values
    alone = [
        scorer.score(batch.select(torch.tensor([i])), CandidateBatch(wanted[0])).values
        for i in range(len(histories))
    ]
    torch.testing.assert_close(shared, torch.cat(alone), equal_nan=True)


@pytest.mark.parametrize("name", BUILDS)
def test_a_saved_scorer_answers_alike(name: str) -> None:
    scorer, again = fitted(name), BUILDS[name]()
    state = scorer.export_state()
    again.import_state(state)
    asked = (queries([[1, 2], [], [5]]), catalog())
    torch.testing.assert_close(
        again.score(*asked).values, scorer.score(*asked).values, equal_nan=True
    )
    assert all(isinstance(tensor, Tensor) for tensor in state.tensors.values())
    assert isinstance(scorer, Scorer)


@pytest.mark.parametrize("name", BUILDS)
def test_rows_that_are_not_positive_teach_nothing(name: str) -> None:
    plain = fitted(name, training(SEQUENCES, []))
    asked = (queries([[1, 2], [0, 5]]), catalog())
    torch.testing.assert_close(
        fitted(name).score(*asked).values, plain.score(*asked).values, equal_nan=True
    )


@pytest.mark.parametrize("name", BUILDS)
def test_asked_too_early(name: str) -> None:
    with pytest.raises(NotFittedError, match="call fit"):
        BUILDS[name]().score(queries([[1]]), catalog())
    with pytest.raises(NotFittedError, match="call fit"):
        BUILDS[name]().export_state()


def test_ease_refuses_a_universe_that_would_not_fit() -> None:
    ease = Ease(EaseConfig(max_items=6), Build())
    with pytest.raises(ConfigError, match=r"7 items.*max_items = 6.*markov"):
        ease.fit(TRAIN)


def test_transitions_do_not_cross_users() -> None:
    markov = Markov(MarkovConfig(window=50, window_decay=0.9, shrinkage=20), Build())
    markov.fit(TRAIN)
    assert markov.matrix is not None
    np.testing.assert_allclose(markov.matrix.numpy(), brute_markov(50, 0.9, 20.0), rtol=1e-5)


@pytest.mark.parametrize("name", ["item_knn", "sparse item_knn"])
def test_item_knn_sums_the_nearest_by_shrunk_cosine(name: str) -> None:
    taken = np.zeros((len(SEQUENCES), N_ITEMS))
    for user, items in enumerate(SEQUENCES):
        taken[user, items] = 1
    similar = np.zeros((N_ITEMS, N_ITEMS))
    for j in range(N_ITEMS):
        near = [
            (taken[:, i] @ taken[:, j] / (np.sqrt(taken[:, i].sum() * taken[:, j].sum()) + 0.5), -i)
            for i in range(7)
            if i != j
        ]
        for value, i in sorted(near, reverse=True)[:2]:
            similar[-i, j] = value
    history = [[1, 3, 1], [6], [0, 2, 5]]
    found = fitted(name).score(queries(history), catalog()).values.numpy()
    for row, known in enumerate(history):
        np.testing.assert_allclose(
            found[row, :7], similar[sorted(set(known)), :7].sum(0), rtol=1e-5, atol=1e-7
        )


def test_manifest_names() -> None:
    names = ["popularity", "ease", "ials", "item_knn", "prefix_ridge", "markov"]
    assert [spec.name for spec in register_scorers()] == names
