"""Data frames in, data frames out; typed configs; bars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import polars as pl
import pytest

from rankloom import Pipeline
from rankloom.api import Slate, progress
from rankloom.config import PipelineConfig, load_config

from .conftest import MODEL

Fit = Callable[..., Pipeline]


@pytest.mark.parametrize("kind", ["polars", "pandas"])
def test_frames_of_either_kind_give_the_same(
    interactions: pl.DataFrame, items: pl.DataFrame, ease: Pipeline, tmp_path: Any, kind: str
) -> None:
    log: Any = interactions if kind == "polars" else pd.DataFrame(interactions.to_dict())
    catalog: Any = items if kind == "polars" else pd.DataFrame(items.to_dict(as_series=False))
    config = {"name": "small", "scorer": "ease"}
    pipeline = Pipeline.from_config(config, base_dir=tmp_path)
    assert pipeline.fit(interactions=log, items=catalog, progress=False) is pipeline
    assert pipeline.recommend("u3").items == ease.recommend("u3").items
    assert pipeline.recommend("u3").frame()["title"][0].startswith("A film")


def test_answers_are_polars(ease: Pipeline) -> None:
    slate = ease.recommend("u3", k=3)
    frame = slate.frame()
    assert isinstance(frame, pl.DataFrame)
    assert frame.columns == ["rank", "item", "score", "log_prob", "title", "genres", "year"]
    assert list(slate) == frame["item"].to_list()
    assert [row["item"] for row in slate.to_dict()["items"]] == list(slate)
    assert slate.fields["year"] == frame["year"].to_list()
    with pytest.raises(KeyError):
        slate.fields["director"]
    everyone = ease.recommend_all(k=2, progress=False)
    assert everyone.columns == ["user", "rank", "item", "score", "log_prob"]
    assert len(everyone) == 60
    own = everyone.filter(pl.col("user") == "u3")
    assert own["item"].to_list() == list(slate)[:2]
    assert own["score"].to_list() == pytest.approx(slate.scores[:2])


def test_nobody_is_an_empty_table(ease: Pipeline) -> None:
    assert ease.recommend_all([]).columns == ["user", "rank", "item", "score", "log_prob"]


def test_an_empty_slate_is_a_table() -> None:
    frame = Slate([], [], []).frame()
    assert frame.columns == ["rank", "item", "score", "log_prob"]
    assert len(frame) == 0


@pytest.mark.parametrize("kind", ["polars", "pandas"])
def test_added_items_can_be_shown(fit: Fit, kind: str) -> None:
    genres = {"type": "multi_hot", "field": "genres"}
    model = {**MODEL, "items": {"encoders": {"genres": genres}}}
    pipeline = fit(model=model, scorer="model")
    columns: dict[str, Any] = {"id": ["new", "newer"], "genres": [["Comedy"], ["Drama", "Action"]]}
    more = pl.DataFrame(columns) if kind == "polars" else pd.DataFrame(columns)
    pipeline.add_items(more)
    shown = pipeline.recommend("u3", k=1000)
    assert {"new", "newer"} <= set(shown.items)
    assert pipeline.describe()["items"] == 42
    assert pipeline.similar("new", k=3).frame()["score"].is_sorted(descending=True)
    row = shown.frame().filter(pl.col("item") == "newer")
    assert row["genres"].to_list() == [["Drama", "Action"]]
    assert row["title"].to_list() == [None]
    pipeline.add_items(pl.DataFrame({"item": ["newest"], "genres": ["Comedy|Drama"]}))
    assert pipeline.recommend("u3", k=1000).frame().filter(pl.col("item") == "newest")[
        "genres"
    ].to_list() == [["Comedy", "Drama"]]
    assert pipeline.evaluate().rows


def test_items_without_vectors_wait_in_closed_forms(fit: Fit) -> None:
    pipeline = fit()
    pipeline.add_items(pl.DataFrame({"id": ["new"]}))
    assert "new" not in pipeline.recommend("u3", k=1000).items
    assert len(pipeline.recommend(history=["new"], k=3)) == 3


def test_a_typed_config_is_as_good(interactions: pl.DataFrame, ease: Pipeline) -> None:
    typed = load_config({"name": "small", "scorer": "ease"})
    assert isinstance(typed, PipelineConfig)
    pipeline = Pipeline.from_config(typed).fit(interactions, progress=False)
    assert pipeline.recommend("u3").items == ease.recommend("u3").items
    changed = typed.model_copy(update={"seed": 11})
    assert Pipeline.from_config(changed).config.seed == 11


def test_a_config_of_python_objects(interactions: pl.DataFrame, ease: Pipeline) -> None:
    from rankloom_plugins.collaborative.plugin import EaseConfig
    from rankloom_plugins.guards.plugin import SeenConfig

    typed = PipelineConfig(name="small", scorer=EaseConfig(), guards=[SeenConfig()])
    pipeline = Pipeline.from_config(typed).fit(interactions, progress=False)
    assert pipeline.recommend("u3").items == ease.recommend("u3").items


def test_a_pipeline_shows_itself(ease: Pipeline) -> None:
    assert ease.describe()["scorer"] == "ease"
    assert "fitted" in repr(ease)
    assert "<th>scorer</th><td>ease</td>" in ease._repr_html_()
    assert "<table" in ease.recommend("u3")._repr_html_()


def test_listeners_are_told_instead_of_bars(ease: Pipeline, fit: Fit) -> None:
    told: list[tuple[str, int, int]] = []
    ease.evaluate(tell=lambda *step: told.append(step))
    assert {"ease", "popularity"} <= {name for name, _, _ in told}
    assert all(0 <= done <= total for _, done, total in told)
    told.clear()
    ease.recommend_all(block=20, tell=lambda *step: told.append(step))
    assert told == [("users", 20, 30), ("users", 30, 30)]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "visible", lambda: True)
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")


def test_bars_are_shown_where_somebody_looks(
    ease: Pipeline, terminal: None, capsys: pytest.CaptureFixture[str]
) -> None:
    ease.recommend_all(block=5)
    assert "users" in capsys.readouterr().err
    ease.recommend_all(block=5, progress=False)
    assert capsys.readouterr().err == ""


def test_nobody_looks_at_a_pipe(ease: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    ease.evaluate()
    ease.recommend_all(block=5)
    assert capsys.readouterr().err == ""
