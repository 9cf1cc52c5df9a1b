from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from rankloom.data.fields import FieldSpec
from rankloom.data.ids import IdMap
from rankloom.data.tables import Table
from rankloom.errors import ConfigError, DataError
from rankloom.protocols import Build, Encoder, TrainData
from rankloom_plugins.tabular.number import NumberEncoder
from rankloom_plugins.tabular.number_features import QuantileFeatures
from rankloom_plugins.tabular.plugin import NumberConfig, TimestampConfig, VectorConfig
from rankloom_plugins.tabular.timestamp import TimestampEncoder
from rankloom_plugins.tabular.vector import VectorEncoder

POSTER = FieldSpec("item.poster", "vector", length=3)
ADDED = FieldSpec("item.added", "timestamp")
PRICE = FieldSpec("item.price", "number")
VECTORS = [[1.0, 2.0, 5.0], [3.0, 6.0, 5.0], None, [99.0, 99.0, 99.0]]
DAY = 86_400


@pytest.fixture
def world(train: TrainData) -> TrainData:
    """The last item is cold: nothing may be learned from it."""
    frame = pl.DataFrame(
        {
            "poster": VECTORS,
            "added": [0, 2 * DAY, None, 10**9],
            "price": [1.0, 3.0, None, 1000.0],
        }
    )
    fields = {"poster": POSTER, "added": ADDED, "price": PRICE}
    return replace(train, items=Table("item", IdMap("abcd"), frame, fields))


def vector(**settings: Any) -> VectorEncoder:
    return VectorEncoder(VectorConfig(**settings), Build(field=POSTER))


def test_vectors_as_they_are() -> None:
    encoder = vector()
    assert isinstance(encoder, Encoder)
    assert encoder.dim == 3
    features = encoder.collate([*VECTORS, np.array([1, 2, 3])])
    assert features.present.tolist() == [True, True, False, True, True]
    assert encoder(features).vectors.tolist()[1:3] == [[3, 6, 5], [0, 0, 0]]
    assert list(encoder.parameters()) == []
    assert encoder(encoder.collate([])).vectors.shape == (0, 3)


def test_vectors_are_standardised_on_training_rows_then_scaled(world: TrainData) -> None:
    encoder = vector(standardize=True)
    encoder.prepare(world)
    out = encoder(encoder.collate(VECTORS)).vectors
    assert out[:3].tolist() == [[-1, -1, 0], [1, 1, 0], [0, 0, 0]]
    both = vector(standardize=True, normalize=True)
    both.prepare(world)
    vectors = both(both.collate(VECTORS)).vectors
    torch.testing.assert_close(vectors[0], out[0] / 2**0.5)
    unit = vector(normalize=True)
    assert unit(unit.collate(VECTORS)).vectors[0].norm() == pytest.approx(1)
    again = vector(standardize=True)
    again.import_state(encoder.export_state())
    assert torch.equal(again(again.collate(VECTORS)).vectors, out)


def test_vectors_through_a_trained_map(world: TrainData) -> None:
    encoder = vector(dim=5)
    encoder.prepare(world)
    out = encoder(encoder.collate(VECTORS)).vectors
    assert out.shape == (4, encoder.dim) == (4, 5)
    out.square().sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0, 2.0], r"'item\.poster' has a vector of 2 numbers, not 3.*Give every row 3 numbers"),
        ("1 2 3", "which is no list of numbers"),
        (7.0, "which is no list of numbers"),
        ([1.0, None, 2.0], "components that are no numbers"),
        ([1.0, float("nan"), 2.0], r"not finite \(value 2 of those"),
    ],
)
def test_wrong_vectors(value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        vector().collate([VECTORS[0], value])


def test_wrong_vector_fields() -> None:
    with pytest.raises(ConfigError, match=r"is a number field\. Declare it as a vector"):
        VectorEncoder(VectorConfig(), Build(field=PRICE))
    with pytest.raises(ConfigError, match="nothing says how long"):
        VectorEncoder(VectorConfig(), Build(field=FieldSpec("item.x", "vector")))
    with pytest.raises(ConfigError, match=r"is a vector field\. Declare it as a timestamp"):
        TimestampEncoder(TimestampConfig(), Build(field=POSTER))


def test_timestamps_by_calendar_and_age(world: TrainData) -> None:
    encoder = TimestampEncoder(TimestampConfig(dim=4, harmonics=1), Build(field=ADDED))
    encoder.prepare(world)
    assert (encoder.mean, encoder.std) == (DAY, DAY)
    noon = dt.datetime(2024, 3, 5, 12, tzinfo=dt.UTC)
    values = [noon, noon + dt.timedelta(days=7), int(noon.timestamp()) + DAY // 4, None]
    features = encoder.collate(values)
    assert features.present.tolist() == [True, True, True, False]
    x = features["x"]
    assert x.shape == (4, 7)
    np.testing.assert_allclose(x[0, [0, 3]], [0, -1], atol=1e-6)  # sine and cosine of noon
    np.testing.assert_allclose(x[2, [0, 3]], [-1, 0], atol=1e-6)  # six in the evening
    np.testing.assert_allclose(x[0, [0, 1, 3, 4]], x[1, [0, 1, 3, 4]], atol=1e-5)  # a week later
    assert x[0, 2] != x[1, 2]
    assert x[:3, 6].tolist() == [5, 5, 5]  # far beyond the training rows: clipped
    assert x[3].eq(0).all()
    out = encoder(features).vectors
    out.square().sum().backward()
    assert encoder.linear.weight.grad is not None
    again = TimestampEncoder(TimestampConfig(dim=4, harmonics=1), Build(field=ADDED))
    again.import_state(encoder.export_state())
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(again(again.collate(values)).vectors, out)
    with pytest.raises(DataError, match="timestamp: the value 'soon'"):
        encoder.collate(["soon"])


def test_quantiles_against_the_formula() -> None:
    features = QuantileFeatures(4)
    generator = torch.Generator().manual_seed(0)
    known = torch.randn(101, generator=generator)
    features.learn(known)
    edges = np.quantile(known.numpy().astype(np.float64), np.linspace(0, 1, 5))
    x = torch.linspace(-5, 5, 41)
    found = features(x)
    for row, value in enumerate(x.tolist()):
        for t in range(4):
            low, high = edges[t], edges[t + 1]
            if value < low and t > 0:
                want = 0.0
            elif value >= high and t < 3:
                want = 1.0
            else:
                want = (value - low) / (high - low)
            assert found[row, t] == pytest.approx(want, abs=1e-4)
    few = QuantileFeatures(4)
    few.learn(torch.tensor([0.0, 0.0, 0.0, 1.0]))  # repeated quantiles make fewer bins
    assert few(torch.tensor([0.5]))[0, -1] == 0
    few.learn(torch.empty(0))
    few.learn(torch.zeros(5))
    assert few(torch.tensor([0.5])).isfinite().all()


@pytest.mark.parametrize("by", ["network", "quantiles", "fourier"])
def test_numbers_by_each_way(world: TrainData, by: Any) -> None:
    config, build = NumberConfig(dim=4, by=by, bins=3, frequencies=5), Build(field=PRICE, seed=4)
    encoder = NumberEncoder(config, build)
    encoder.prepare(world)
    assert isinstance(encoder, Encoder)
    assert (encoder.mean, encoder.std) == (2.0, 1.0)  # the cold item's 1000 is not seen
    features = encoder.collate([1.0, 2.5, None, 1e9])
    out = encoder(features).vectors
    assert out.shape == (4, 4)
    assert out.isfinite().all()
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())
    again = NumberEncoder(config, replace(build, seed=5))
    again.import_state(encoder.export_state())
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(again(again.collate([1.0, 2.5, None, 1e9])).vectors, out)
    same = NumberEncoder(config, build)
    same.import_state(encoder.export_state())
    assert torch.equal(same(same.collate([1.0])).vectors, encoder(encoder.collate([1.0])).vectors)
