"""A small log, its catalog, and pipelines fitted on them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rankloom import Pipeline, register
from rankloom.host import reset_host

KINDS = ("Action", "Comedy", "Drama")
MODEL = {
    "items": {"encoders": {"id": {"type": "embedding", "dim": 8}}},
    "queries": {"encoders": {"history": "history_mean"}},
    "tasks": ["softmax"],
    "training": {"epochs": 1, "batch_size": 64},
}


@pytest.fixture(scope="session")
def interactions() -> pl.DataFrame:
    draw = random.Random(3)
    rows = [
        (f"u{user}", f"i{item}", draw.choice([3.0, 4.0, 5.0]), 1_000_000 + place * 1000 + user)
        for user in range(30)
        for place, item in enumerate(draw.sample(range(40), 12))
    ]
    return pl.DataFrame(rows, schema=["user", "item", "value", "time"], orient="row")


@pytest.fixture(scope="session")
def items() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "item": [f"i{n}" for n in range(40)],
            "title": [f"A film called number {n}" for n in range(40)],
            "genres": [[KINDS[n % 3], KINDS[(n + 1) % 3]] for n in range(40)],
            "year": [1950.0 + n for n in range(40)],
        }
    )


@pytest.fixture(scope="session")
def fit(
    tmp_path_factory: pytest.TempPathFactory, interactions: pl.DataFrame, items: pl.DataFrame
) -> Callable[..., Pipeline]:
    """Fit a config (default: EASE) on the frames, in a folder of its own."""

    def fitted(*, run_dir: Path | None = None, **config: Any) -> Pipeline:
        folder = tmp_path_factory.mktemp("api")
        chosen = {"name": "small", "scorer": "ease", **config}
        pipeline = Pipeline.from_config(chosen, base_dir=folder)
        return pipeline.fit(interactions, items, progress=False, run_dir=run_dir)

    return fitted


@pytest.fixture(scope="session")
def ease(fit: Callable[..., Pipeline]) -> Pipeline:
    """Fitted once; tests must not change it."""
    return fit()


@pytest.fixture
def plug() -> Iterator[Callable[[object], None]]:
    """Register plugins for one test."""
    yield register
    reset_host()
