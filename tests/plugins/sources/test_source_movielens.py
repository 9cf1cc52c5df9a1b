"""MovieLens in its three layouts, from the real files and from small broken ones."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from rankloom.data.dataset import Dataset
from rankloom.errors import DataError
from rankloom.protocols import Build
from rankloom_plugins.sources.movielens import MovieLensSource
from rankloom_plugins.sources.plugin import MovieLensConfig
from rankloom_plugins.sources.titles import movie_fields


def load(path: Path, **settings: object) -> Dataset:
    config = MovieLensConfig(path=Path(path.name), **settings)  # type: ignore[arg-type]
    return MovieLensSource(config, Build(base_dir=path.parent)).load()


def row(dataset: Dataset, key: str) -> dict[str, object]:
    return dataset.items.frame.row(dataset.items.ids.index(key), named=True)


def test_100k(shared_data: Path) -> None:
    data = load(shared_data / "movielens-100k")
    assert (len(data.users), len(data.items), len(data.interactions)) == (943, 1682, 100_000)
    assert row(data, "265") == {
        "title": "The Hunt for Red October",
        "year": 1990.0,
        "genres": ["Action", "Thriller"],
        "title_genres": "The Hunt for Red October (1990). Genres: Action, Thriller",
    }
    unknown = row(data, "267")
    assert (unknown["year"], unknown["genres"]) == (None, None)
    assert row(data, "543")["title"] == "Les Misérables"
    assert data.users.frame.row(0) == (24.0, "M", "technician", "85711")
    log = data.interactions
    first = (log.users[0], log.items[0], log.values[0], log.times[0], log.rows[0])
    assert data.users.ids.external([int(first[0])]) == ["196"]
    assert data.items.ids.external([int(first[1])]) == ["242"]
    assert [float(x) for x in first[2:]] == [3.0, 881250949.0, 1.0]
    assert data.report == {}


def test_100k_given_split(shared_data: Path) -> None:
    data = load(shared_data / "movielens-100k", train="u1.base", test="u1.test")
    assert data.given_split is not None
    assert data.given_split.tolist() == [0] * 80_000 + [1] * 20_000
    assert bool((data.interactions.rows.diff() == 1).all())


def test_1m_keeps_what_is_missing(shared_data: Path) -> None:
    data = load(shared_data / "movielens-1m", text=False)
    assert (len(data.users), len(data.items), len(data.interactions)) == (6040, 3883, 1_000_209)
    assert data.report["interactions without a value"] == 433_255
    assert int(data.interactions.values.isnan().sum()) == 433_255
    assert int((data.interactions.times == 0).sum()) == 433_255
    assert "title_genres" not in data.items.fields
    assert data.users.frame.row(0) == (1.0, "F", "10", "48067")


def test_latest(ml_small: Path) -> None:
    data = load(ml_small)
    assert (len(data.users), len(data.items), len(data.interactions)) == (610, 9742, 100_836)
    assert row(data, "2571")["title"] == "The Matrix"
    assert data.items.frame["genres"].null_count() == 34
    assert float(data.interactions.values.min()) == 0.5


@pytest.mark.parametrize(
    ("raw", "title", "year"),
    [
        ("Matrix, The (1999)", "The Matrix", 1999.0),
        ("Misérables, Les (1995)", "Les Misérables", 1995.0),
        ("Enfer, L' (1994)", "L'Enfer", 1994.0),
        ("Postman, The (Postino, Il) (1994)", "The Postman (Il Postino)", 1994.0),
        ("Good, The Bad and The Ugly, The (1966)", "The Good, The Bad and The Ugly", 1966.0),
        ("Paris, Texas (1984)", "Paris, Texas", 1984.0),
        ("Fawlty Towers (1975-1979)", "Fawlty Towers", 1975.0),
        ("2001: A Space Odyssey (1968) ", "2001: A Space Odyssey", 1968.0),
        ("1984", "1984", None),
        ("Seven (Se7en) (1995)", "Seven (Se7en)", 1995.0),
    ],
)
def test_titles(raw: str, title: str, year: float | None) -> None:
    films = pl.DataFrame({"title": [raw], "genres": [None]}, schema_overrides={
        "genres": pl.List(pl.String)})  # fmt: skip
    made = movie_fields(films, text=True).row(0, named=True)
    assert (made["title"], made["year"]) == (title, year)
    assert made["title_genres"] == (f"{title} ({year:.0f})" if year else title)


def small(folder: Path, ratings: str, movies: str = "1::A (1990)::Drama\n") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "ratings.dat").write_text(ratings)
    (folder / "movies.dat").write_text(movies, encoding="iso-8859-1")
    return folder


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        ("1::1::5::10\n1::2::5::10\n", r"ratings.dat, row 2, column 'item': '2' is not in the ite"),
        ("1::1::five::10\n", r"ratings.dat, row 1, column 'rating': 'five' is not a number"),
        ("1::1::5::\n", r"row 1, column 'timestamp': the value is missing"),
        ("::1::5::10\n", r"row 1, column 'user': the value is missing"),
        ("1::1::5\n", r"row 1, .*has not 4 fields separated by '::'"),
        ("", "ratings.dat is empty"),
    ],
)
def test_bad_ratings_are_named(tmp_path: Path, ratings: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(small(tmp_path / "ml", ratings))


def test_bad_ratings_are_counted_under_skip(tmp_path: Path) -> None:
    ratings = "1::1::5::10\n1::2::5::10\n2::1::x::11\n3::1::4::12\n"
    data = load(small(tmp_path / "ml", ratings), on_bad_rows="skip")
    assert data.interactions.rows.tolist() == [1, 4]
    assert sorted(data.report.values()) == [1, 1]
    assert list(data.users.ids.ids) == ["1", "3"]


def test_folders_without_movielens(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no MovieLens files"):
        load(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        load(tmp_path / "none")
    with pytest.raises(ValidationError, match="go together"):
        MovieLensConfig(path=tmp_path, train="u1.base")
