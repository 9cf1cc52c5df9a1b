"""The splits' sizes on ML-100K, the data of the published numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from rankloom.data.dataset import Dataset
from rankloom.data.describe import tied_last_share
from rankloom.data.positives import prepare_dataset
from rankloom.protocols import Build
from rankloom_plugins.sources.movielens import MovieLensSource
from rankloom_plugins.sources.plugin import MovieLensConfig
from rankloom_plugins.splits.cold_items import ColdItems
from rankloom_plugins.splits.files import GivenFiles
from rankloom_plugins.splits.leave_last_out import LeaveLastOut
from rankloom_plugins.splits.plugin import (
    ColdItemsConfig,
    FilesConfig,
    LeaveLastOutConfig,
    RandomConfig,
)
from rankloom_plugins.splits.random import RandomSplit


@pytest.fixture(scope="module")
def ml_100k(shared_data: Path) -> Dataset:
    config = MovieLensConfig(path=shared_data / "movielens-100k", train="u1.base", test="u1.test")
    return prepare_dataset(MovieLensSource(config, Build()).load())


@pytest.fixture(scope="module")
def ml_100k_log(shared_data: Path) -> Dataset:
    config = MovieLensConfig(path=shared_data / "movielens-100k")
    return prepare_dataset(MovieLensSource(config, Build()).load())


def test_leave_last_out(ml_100k_log: Dataset) -> None:
    result = LeaveLastOut(LeaveLastOutConfig(), Build()).split(ml_100k_log, 0)
    assert len(result.train) == 100_000 - 2 * 943
    assert len(result.validation.targets) == len(result.test.targets) == 943
    assert result.dropped == {}
    assert tied_last_share(ml_100k_log) == pytest.approx(0.44, abs=0.005)


def test_random(ml_100k_log: Dataset) -> None:
    result = RandomSplit(RandomConfig(), Build()).split(ml_100k_log, 0)
    assert len(result.train) == 80_808
    assert len(result.validation.targets) == len(result.test.targets) == 9_596
    assert ml_100k_log.interactions.users[result.test.targets].unique().numel() == 943


def test_cold_items(ml_100k_log: Dataset) -> None:
    result = ColdItems(ColdItemsConfig(), Build()).split(ml_100k_log, 0)
    assert int(result.test.candidates.sum()) == 336
    assert len(result.test.targets) == pytest.approx(20_000, rel=0.1)


def test_files(ml_100k: Dataset) -> None:
    result = GivenFiles(FilesConfig(), Build()).split(ml_100k, 0)
    assert len(result.train) == 76_000
    assert len(result.validation.targets) == 4_000
    assert len(result.test.targets) == 20_000
