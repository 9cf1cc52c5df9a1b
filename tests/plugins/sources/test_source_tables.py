"""Files and frames of one's own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from pydantic import ValidationError

from rankloom.config import dump, expand, load_config
from rankloom.data.dataset import Dataset
from rankloom.data.fingerprint import fingerprint
from rankloom.errors import ConfigError, DataError
from rankloom.protocols import Build
from rankloom_plugins.sources.plugin import TablesConfig
from rankloom_plugins.sources.tables import TablesSource

LOG = pl.DataFrame(
    {
        "userId": ["u2", "u1", "u2"],
        "movieId": [11, 10, 10],
        "rating": [4.0, 5.0, 1.0],
        "timestamp": ["2020-01-01", "2020-01-02", "2020-01-03"],
    }
)
ITEMS = pl.DataFrame(
    {
        "movieId": [10, 12, 11],
        "name": ["Ten films", "Twelve films", "Eleven films"],
        "genres": ["a|b", "c", None],
        "pages": ["1", "2", "3"],
    }
)


def settings(**given: object) -> TablesConfig:
    return TablesConfig.model_validate({"type": "tables", **given})


def load(folder: Path, **given: object) -> Dataset:
    return TablesSource(settings(**given), Build(base_dir=folder)).load()


def frames(config: TablesConfig | None = None, **given: object) -> Dataset:
    given.setdefault("interactions", LOG)
    return TablesSource.from_frames(config or settings(), Build(), **given).load()  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_files_and_frames_give_the_same(tmp_path: Path, ending: str) -> None:
    for name, frame in (("log", LOG), ("items", ITEMS)):
        path = tmp_path / f"{name}.{ending}"
        if ending == "parquet":
            frame.write_parquet(path)
        else:
            frame.write_csv(path, separator="\t" if ending == "tsv" else ",")
    data = load(tmp_path, interactions=f"log.{ending}", items=f"items.{ending}")
    assert list(data.items.ids.ids) == ["10", "12", "11"]
    assert list(data.users.ids.ids) == ["u2", "u1"]
    assert data.interactions.items.tolist() == [2, 0, 0]
    assert data.interactions.values.tolist() == [4.0, 5.0, 1.0]
    assert data.interactions.times.diff().tolist() == [86400, 86400]
    assert {name: spec.type for name, spec in data.items.fields.items()} == {
        "name": "text",
        "genres": "category",
        "pages": "number",
    }
    assert data.items.values("genres") == [["a", "b"], ["c"], None]
    offset = 1 if ending != "parquet" else 0
    assert data.interactions.rows.tolist() == [1 + offset, 2 + offset, 3 + offset]


def test_pandas_is_as_good_as_polars() -> None:
    made = frames(interactions=LOG.to_pandas(), items=pd.DataFrame(ITEMS.to_dict(as_series=False)))
    assert fingerprint(made) == fingerprint(frames(items=ITEMS))


def test_a_filled_in_config_reads_the_same_columns() -> None:
    for given in ({}, {"value": None}, {"user": "userId", "time": None}):
        source = {"type": "tables", "columns": given}
        config = load_config({"data": {"source": source}})
        again = load_config(dump(config))
        assert again == config
        assert again.data.source.columns.model_fields_set == set(given)
        assert load_config(expand(again)) == config


def test_columns_can_be_named_and_fields_declared() -> None:
    config = settings(
        columns={"user": "who", "item": "what"},
        item_id="key",
        item_fields={"title": {"type": "text", "column": "name"}, "pages": "category"},
    )
    data = frames(
        config,
        interactions=LOG.select(who="userId", what="movieId"),
        items=ITEMS.rename({"movieId": "key"}),
    )
    kinds = {name: spec.type for name, spec in data.items.fields.items()}
    assert kinds == {"title": "text", "pages": "category", "genres": "category"}
    assert not data.interactions.timed
    assert bool(data.interactions.values.isnan().all())


def test_users_have_fields_too() -> None:
    users = pl.DataFrame({"userId": ["u1", "u2"], "age": [30, None]})
    data = frames(users=users)
    assert list(data.users.ids.ids) == ["u1", "u2"]
    assert data.users.values("user.age") == [30.0, None]


def test_given_test_interactions() -> None:
    data = frames(interactions=LOG[:2], test_interactions=LOG[2:])
    assert data.given_split is not None
    assert data.given_split.tolist() == [0, 0, 1]
    assert data.interactions.rows.tolist() == [1, 2, 3]


def test_ids_that_the_catalog_lacks() -> None:
    short = ITEMS.filter(pl.col("movieId") != 11)
    with pytest.raises(DataError, match=r"'interactions', row 1, column 'movieId': '11' is not in"):
        frames(items=short)
    skipped = frames(settings(on_bad_rows="skip"), items=short)
    assert len(skipped.interactions) == 2
    assert sum(skipped.report.values()) == 1
    added = frames(settings(add_unknown=True), items=short)
    assert list(added.items.ids.ids) == ["10", "12", "11"]
    assert added.items.values("name")[-1] is None


@pytest.mark.parametrize(
    ("given", "log", "message"),
    [
        ({"columns": {"value": "ratng"}}, LOG, r"no column 'ratng'. Did you mean 'rating'\?"),
        ({}, LOG.rename({"userId": "a"}), r"cannot tell which column is the user.*a, movieId"),
        ({}, LOG.with_columns(rating=pl.lit("x")), r"row 1, column 'rating': 'x' is not a number"),
        ({}, LOG.with_columns(movieId=None), r"row 1, column 'movieId': the value is missing"),
        ({"time_format": "%Y"}, LOG, r"'2020-01-01' is not a time in the format '%Y'"),
        ({}, LOG.clear(), "has no rows"),
        ({"on_bad_rows": "skip"}, LOG.with_columns(movieId=None), "no row is left"),
    ],
)
def test_wrong_logs(given: dict[str, object], log: pl.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        frames(settings(**given), interactions=log)


def test_wrong_configs() -> None:
    with pytest.raises(ConfigError, match="needs 'interactions'"):
        load(Path())
    with pytest.raises(ConfigError, match="'item_fields' are declared"):
        frames(settings(item_fields={"title": "text"}))
    with pytest.raises(DataError, match=r"no column 'nam'. Did you mean 'name'\?"):
        frames(settings(item_fields={"nam": "text"}), items=ITEMS)
    with pytest.raises(ValidationError):
        settings(item_fields={"title": "txt"})
