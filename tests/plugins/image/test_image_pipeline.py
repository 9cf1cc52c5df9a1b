"""Pictures in a pipeline: from bytes and from files, bad ones among them, and found by text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from rankloom import Pipeline
from rankloom.errors import DataError

from .conftest import png

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 60, 220)}
N = 24


def picture(colour: str, seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(-30, 31, (24, 24, 3))
    shade = np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)
    return png(Image.fromarray(shade))


def colour_of(row: int) -> str:
    return list(COLOURS)[row % 3]


@pytest.fixture
def items() -> pl.DataFrame:
    """24 pictures of three colours; nobody has touched the last three."""
    photos = [picture(colour_of(row), row) for row in range(N)]
    return pl.DataFrame({"id": [f"i{row}" for row in range(N)], "photo": photos})


@pytest.fixture
def clicks() -> pl.DataFrame:
    """Everybody likes one colour, and has clicked on six of its first seven pictures."""
    rows = [
        (f"u{user}", f"i{3 * ((user + place) % 7) + user % 3}", 1000 * place + user)
        for user in range(30)
        for place in range(6)
    ]
    return pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")


Fit = Callable[..., Pipeline]


@pytest.fixture
def fit(tmp_path: Path, tiny_clip: Path, clicks: pl.DataFrame) -> Fit:
    def made(items: pl.DataFrame, tasks: bool = True, **settings: Any) -> Pipeline:
        photo = {"type": "clip_image", "model": str(tiny_clip), "root": "photos"}
        photo |= {"dim": 8 if tasks else None, **settings}  # something must train
        text = {"type": "clip_text", "model": str(tiny_clip), "field": "query.text"}
        queries = {"history": "history_mean"} if tasks else {"text": text}
        config: dict[str, Any] = {
            "name": "pictures",
            "model": {
                "items": {"encoders": {"photo": photo}},
                "queries": {"encoders": queries},
                "scorer": {"type": "dot", "cosine": True, "temperature": 0.1},
                "tasks": ["softmax"] if tasks else [],
                "training": {"epochs": 2, "batch_size": 16},
            },
            "evaluation": {"baselines": False},
        }
        pipeline = Pipeline.from_config(config, base_dir=tmp_path)
        run = tmp_path / "run"
        return pipeline.fit(interactions=clicks, items=items, progress=False, run_dir=run)

    return made


def as_files(items: pl.DataFrame, folder: Path) -> pl.DataFrame:
    folder.mkdir()
    for row in items.iter_rows(named=True):
        (folder / f"{row['id']}.png").write_bytes(row["photo"])
    return items.with_columns((pl.col("id") + ".png").alias("photo"))


def test_bytes_and_files_are_the_same(fit: Fit, items: pl.DataFrame, tmp_path: Path) -> None:
    from_bytes = fit(items)
    assert from_bytes.log.encoded == {"model": N}
    from_files = fit(as_files(items, tmp_path / "photos"))
    assert from_files.log.encoded == {"model": 0}  # told apart by content, not by name
    assert from_bytes.recommend("u1").items == from_files.recommend("u1").items


def test_a_cold_product_is_recommended_by_its_picture(fit: Fit, items: pl.DataFrame) -> None:
    pipeline = fit(items)
    for user in range(3):
        slate = pipeline.recommend(f"u{user}", k=6)
        cold = [item for item in slate.items if int(item[1:]) >= N - 3]
        assert f"i{N - 3 + user % 3}" == cold[0]  # of the user's colour, before other colours
    assert pipeline.similar("i21", k=3).items[0] in {f"i{row}" for row in range(0, N, 3)}


def test_an_added_product_is_recommended_at_once(fit: Fit, items: pl.DataFrame) -> None:
    pipeline = fit(items)
    pipeline.add_items(pl.DataFrame({"id": ["new"], "photo": [picture("red", 99)]}))
    assert "new" in pipeline.recommend("u0", k=8).items
    with pytest.raises(DataError, match=r"item 'broken'.*no picture"):
        pipeline.add_items(pl.DataFrame({"id": ["broken"], "photo": [b"text"]}))


def test_text_finds_pictures(fit: Fit, items: pl.DataFrame, tmp_path: Path) -> None:
    pipeline = fit(items, tasks=False)
    slate = pipeline.recommend(text="a red dress", k=N)
    assert sorted(slate.items) == sorted(items["id"].to_list())
    assert all(-10.001 <= score <= 10.001 for score in slate.scores)  # a cosine over 0.1
    assert slate.items == pipeline.recommend(text="a red dress", k=N).items
    assert slate.scores != pipeline.recommend(text="a blue coat", k=N).scores
    loaded = Pipeline.load(pipeline.save(tmp_path / "bundle"))
    assert loaded.recommend(text="a red dress", k=N).items == slate.items


@pytest.mark.parametrize("kind", ["bytes", "files"])
def test_a_bad_picture_is_an_error_that_names_it(
    fit: Fit, items: pl.DataFrame, tmp_path: Path, kind: str
) -> None:
    broken = damaged(items)
    if kind == "files":
        broken = as_files(broken, tmp_path / "photos")
    with pytest.raises(DataError) as caught:
        fit(broken)
    said = str(caught.value)
    assert "2 of 24 values of 'item.photo' cannot be read" in said
    assert "item 'i3': it is no picture" in said
    assert "item 'i7': it is no picture" in said
    assert "on_bad_item: skip" in said
    # Everything else is in the cache, under its content: bytes or files.
    assert fit(items).log.encoded == {"model": 2}


@pytest.mark.parametrize("kind", ["bytes", "files"])
def test_a_bad_picture_may_be_left_out(
    fit: Fit, items: pl.DataFrame, tmp_path: Path, kind: str
) -> None:
    broken = damaged(items)
    if kind == "files":
        broken = as_files(broken, tmp_path / "photos")
        broken = broken.with_columns(
            pl.when(pl.col("id") == "i9")
            .then(pl.lit("../secret.png"))
            .otherwise("photo")
            .alias("photo")
        )
    pipeline = fit(broken, on_bad_item="skip")
    skipped = {one.id: one.reason for one in pipeline.log.skipped}
    assert list(skipped) == (["i3", "i7"] if kind == "bytes" else ["i3", "i7", "i9"])
    assert all(one.field == "item.photo" for one in pipeline.log.skipped)
    assert "leads out of the media root" in skipped.get("i9", "leads out of the media root")
    assert "unreadable values left out: item.photo" in pipeline.log.summary()
    text = (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    told = {line["id"]: line["reason"] for line in lines if line["event"] == "skipped"}
    assert told == skipped
    pipeline.recommend("u1")


def test_a_missing_picture_is_no_error(fit: Fit, items: pl.DataFrame) -> None:
    gone = items.with_columns(
        pl.when(pl.col("id").is_in(["i3", "i7"])).then(None).otherwise("photo").alias("photo")
    )
    pipeline = fit(gone)
    assert pipeline.log.encoded == {"model": N - 2}
    assert pipeline.log.skipped == []


def damaged(items: pl.DataFrame) -> pl.DataFrame:
    """A text and half a picture."""
    photos = items["photo"].to_list()
    photos[3], photos[7] = b"not a picture", photos[7][:60]
    return items.with_columns(pl.Series("photo", photos))
