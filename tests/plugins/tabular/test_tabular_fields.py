from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.data.fields import FieldSpec
from rankloom.errors import ConfigError, DataError
from rankloom.protocols import Build, Encoder, Features, TrainData
from rankloom_plugins.tabular.category import CategoryEncoder
from rankloom_plugins.tabular.multi_hot import MultiHotEncoder
from rankloom_plugins.tabular.number import NumberEncoder
from rankloom_plugins.tabular.plugin import CategoryConfig, MultiHotConfig, NumberConfig
from rankloom_plugins.tabular.vocabulary import Vocabulary, categories

GENRES = Build(field=FieldSpec("item.genres", "category", multiple=True))
STUDIO = Build(field=FieldSpec("item.studio", "category"))
YEAR = Build(field=FieldSpec("item.year", "number"))


def test_multi_hot_is_the_mean_over_known_categories(train: TrainData) -> None:
    encoder = MultiHotEncoder(MultiHotConfig(dim=5), GENRES)
    encoder.prepare(train)
    assert isinstance(encoder, Encoder)
    assert encoder.vocabulary.names == ["Comedy", "Drama"]  # Secret is a cold item's
    values = [["Drama", "Comedy"], ["Secret"], None, [], ["Comedy", "Comedy"], "Drama"]
    features = encoder.collate(values)
    assert features.present.tolist() == [True, False, False, False, True, True]
    w = encoder.weight.detach().numpy()
    want = [w[1:3].mean(0), w[0], w[0], w[0], w[1], w[2]]
    np.testing.assert_allclose(encoder(features).vectors.detach().numpy(), want, atol=1e-7)
    assert w[0].tolist() == [0.0] * 5


def test_multi_hot_padding_trains_nothing_and_widths_may_differ(train: TrainData) -> None:
    encoder = MultiHotEncoder(MultiHotConfig(dim=5), GENRES)
    encoder.prepare(train)
    parts = [encoder.collate([["Drama"]]), encoder.collate([["Drama", "Comedy"], None])]
    joined = Features.cat(parts)
    whole = encoder.collate([["Drama"], ["Drama", "Comedy"], None])
    assert torch.equal(encoder(joined).vectors, encoder(whole).vectors)
    encoder(joined).vectors.square().sum().backward()
    grad = encoder.weight.grad
    assert grad is not None
    assert grad[0].eq(0).all()
    assert grad[1:].abs().sum(1).gt(0).all()


def test_min_count(train: TrainData) -> None:
    encoder = MultiHotEncoder(MultiHotConfig(dim=5, min_count=2), GENRES)
    encoder.prepare(train)
    assert encoder.vocabulary.names == ["Drama"]


def test_category_unknown_is_missing(train: TrainData) -> None:
    encoder = CategoryEncoder(CategoryConfig(dim=3), STUDIO)
    encoder.prepare(train)
    features = encoder.collate(["A", "Cold", None, "", "B"])
    assert features.present.tolist() == [True, False, False, False, True]
    assert features["numbers"].shape == (5, 1)
    vectors = encoder(features).vectors
    assert torch.equal(vectors[[0, 4]], encoder.weight[1:])
    assert vectors[1:4].eq(0).all()


def test_category_refuses_lists() -> None:
    with pytest.raises(ConfigError, match="Use 'multi_hot'"):
        CategoryEncoder(CategoryConfig(), GENRES)
    encoder = CategoryEncoder(CategoryConfig(), STUDIO)
    encoder._take(Vocabulary(["A", "B"]))
    with pytest.raises(DataError, match=r"\['A', 'B'\]"):
        encoder.collate(["A", ["A", "B"]])


@pytest.mark.parametrize("kind", ["multi_hot", "category", "number"])
def test_state_comes_back(train: TrainData, kind: str) -> None:
    made: list[Any] = []
    for _ in range(2):
        if kind == "multi_hot":
            made.append(MultiHotEncoder(MultiHotConfig(dim=5), GENRES))
        elif kind == "category":
            made.append(CategoryEncoder(CategoryConfig(dim=5), STUDIO))
        else:
            made.append(NumberEncoder(NumberConfig(dim=5), YEAR))
    first, second = made
    first.prepare(train)
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(0.5)
    second.import_state(first.export_state())
    second.load_state_dict(first.state_dict())
    values = {"multi_hot": [["Drama"], None], "category": ["B", "x"], "number": [1993, None]}[kind]
    a, b = first.collate(values), second.collate(values)
    assert a.present.tolist() == b.present.tolist() == [True, False]
    assert torch.equal(first(a).vectors, second(b).vectors)


def test_number_uses_training_rows_alone(train: TrainData) -> None:
    encoder = NumberEncoder(NumberConfig(dim=4, clip=3), YEAR)
    encoder.prepare(train)
    assert (encoder.mean, encoder.std) == (1995.0, 5.0)
    features = encoder.collate([1990, "2000", None, float("nan"), float("inf"), 9999, ""])
    assert features["x"].tolist() == [-1, 1, 0, 0, 0, 3, 0]
    assert features.present.tolist() == [True, True, False, False, False, True, False]
    vectors = encoder(features).vectors
    assert vectors.shape == (7, 4)
    vectors[:2].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_number_of_users_constants_and_dates(train: TrainData) -> None:
    ages = NumberEncoder(NumberConfig(), Build(field=FieldSpec("user.age", "number")))
    ages.prepare(train)
    assert (ages.mean, ages.std) == (30.0, 10.0)
    seconds = NumberEncoder(NumberConfig(), YEAR)
    seconds.mean, seconds.std = 1.5e9, 1.0
    assert seconds.collate([1.5e9 + 1])["x"].tolist() == [1.0]
    moment = dt.datetime(2017, 7, 14, 2, 40, 2, tzinfo=dt.UTC)
    assert seconds.collate([moment])["x"].tolist() == [2.0]


def test_number_refuses_words() -> None:
    with pytest.raises(DataError, match=r"'abc' of 'item\.year'"):
        NumberEncoder(NumberConfig(), YEAR).collate([1, "abc"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=5), max_size=8), st.integers(1, 3))
def test_vocabulary_against_counting(rows: list[list[str]], min_count: int) -> None:
    vocabulary = Vocabulary.learn(rows, min_count)
    want = [c for c in "abcdef" if sum(c in row for row in rows) >= min_count]
    assert vocabulary.names == want
    for row in rows:
        names = {vocabulary.names[number - 1] for number in vocabulary.numbers(row)}
        assert names == set(row) & set(want)


def test_numbers_and_text_are_one_category() -> None:
    assert categories([7, 7.0, "7", None, float("nan"), " "]) == ["7"]


def test_context_fields_are_refused() -> None:
    build = Build(field=FieldSpec("context.hour", "number"))
    with pytest.raises(ConfigError, match=r"not 'context\.hour'"):
        NumberEncoder(NumberConfig(), build)
