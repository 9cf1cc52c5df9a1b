"""Several files of one table, joined by id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from rankloom import Pipeline
from rankloom.data.dataset import Dataset
from rankloom.data.fingerprint import fingerprint
from rankloom.errors import DataError
from rankloom.protocols import Build
from rankloom_plugins.sources.plugin import TablesConfig
from rankloom_plugins.sources.tables import TablesSource

IDS = [str(10 * n) for n in range(1, 9)]
VECTORS = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [(f"u{u}", IDS[(u + k) % 8], k) for u in range(9) for k in range(4)]
    pl.DataFrame(rows, schema=["userId", "itemId", "timestamp"], orient="row").write_csv(
        tmp_path / "log.csv"
    )
    pl.DataFrame({"itemId": IDS, "title": [f"The film {n}" for n in IDS]}).write_csv(
        tmp_path / "items.csv"
    )
    write(tmp_path / "vectors.npz", range(8))
    return tmp_path


def write(path: Path, rows: Any, ids: list[str] = IDS) -> None:
    rows = list(rows)
    chosen, vectors = [ids[row] for row in rows], VECTORS[[row % 8 for row in rows]]
    if path.suffix == ".npz":
        np.savez(path, id=np.array(chosen), vector=vectors)
        return
    frame = pl.DataFrame({"id": chosen, "vector": vectors.tolist()})
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        texts = pl.col("vector").cast(pl.List(pl.String)).list.join("|")
        frame.with_columns(texts).write_csv(path)


def load(folder: Path, *files: str, **given: Any) -> Dataset:
    config = TablesConfig.model_validate(
        {"interactions": "log.csv", "items": ["items.csv", *files], **given}
    )
    return TablesSource(config, Build(base_dir=folder)).load()


VECTOR = {"item_fields": {"vector": "vector"}}


@pytest.mark.parametrize("ending", ["npz", "parquet", "csv"])
def test_order_of_rows_does_not_matter(folder: Path, ending: str) -> None:
    write(folder / f"a.{ending}", range(8))
    write(folder / f"b.{ending}", np.random.default_rng(1).permutation(8).tolist())
    straight, shuffled = (load(folder, f"{name}.{ending}", **VECTOR) for name in "ab")
    assert list(shuffled.items.ids.ids) == IDS
    np.testing.assert_allclose(shuffled.items.values("vector"), VECTORS, rtol=1e-6)
    assert shuffled.items.field("vector").length == 3  # though it was declared without one
    assert fingerprint(straight) == fingerprint(shuffled)


def test_rows_that_a_further_file_lacks_are_missing(folder: Path) -> None:
    write(folder / "some.npz", [5, 2])
    values = load(folder, "some.npz").items.values("vector")
    assert [row for row, value in enumerate(values) if value is not None] == [2, 5]


def test_unknown_ids(folder: Path) -> None:
    write(folder / "more.npz", [3, 8, 9], [*IDS, "x", "y"])
    message = (
        r"more\.npz, row 2, column 'id': 'x' is not in .*items\.csv \(2 such ids; "
        r"'add_unknown: true' would add them\)\. 1 more such row"
    )
    with pytest.raises(DataError, match=message):
        load(folder, "more.npz")
    skipped = load(folder, "more.npz", on_bad_rows="skip")
    assert len(skipped.items) == 8
    assert sum(skipped.report.values()) == 2
    added = load(folder, "more.npz", add_unknown=True)
    assert list(added.items.ids.ids) == [*IDS, "x", "y"]
    assert added.items.values("title")[8:] == [None, None]
    np.testing.assert_allclose(added.items.values("vector")[8], VECTORS[0])
    assert any("added" in what and n == 2 for what, n in added.report.items())


def test_three_files_and_users(folder: Path) -> None:
    np.savez(
        folder / "b.npz",
        id=np.array([int(n) for n in IDS]),
        cover=VECTORS[::-1],
        size=VECTORS[:, 0],
    )
    pl.DataFrame({"userId": [f"u{n}" for n in range(9)], "age": range(9)}).write_csv(
        folder / "users.csv"
    )
    pl.DataFrame({"userId": ["u3", "u1"], "job": ["cook", "nurse"]}).write_csv(folder / "jobs.csv")
    data = load(folder, "vectors.npz", "b.npz", users=["users.csv", "jobs.csv"])
    kinds = {name: spec.type for name, spec in data.items.fields.items()}
    assert kinds == {"title": "text", "vector": "vector", "cover": "vector", "size": "number"}
    np.testing.assert_allclose(data.items.values("cover"), VECTORS[::-1])
    assert data.users.values("job")[:4] == [None, "nurse", None, "cook"]


def test_wrong_files(folder: Path) -> None:
    write(folder / "twin.npz", range(8))
    with pytest.raises(DataError, match=r"column 'vector' is in .*vectors\.npz and in .*twin\.npz"):
        load(folder, "vectors.npz", "twin.npz")
    write(folder / "again.npz", [1, 2, 1])
    with pytest.raises(DataError, match=r"again\.npz, row 3, column 'id': '20' stands there twice"):
        load(folder, "again.npz")
    vectors = [*VECTORS[:2].tolist(), [1.0], *VECTORS[3:].tolist()]
    pl.DataFrame({"id": IDS, "vector": vectors}).write_parquet(folder / "short.parquet")
    with pytest.raises(DataError, match=r"short\.parquet, row 3, column 'vector': .*vector of 3"):
        load(folder, "short.parquet")
    with pytest.raises(
        DataError, match=r"items\.csv and .*vectors\.npz has no column 'vectr'.*mean"
    ):
        load(folder, "vectors.npz", item_fields={"vectr": "vector"})
    (folder / "latin.csv").write_bytes("itemId,name\n10,Amélie\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.csv, row 2: the byte 0xE9 is not valid utf-8"):
        load(folder, "latin.csv")


def test_wrong_archives(folder: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"id": np.array(IDS), "vector": VECTORS[:5]}, r"different lengths \(id 8, vector 5\)"),
        ({"id": np.array(IDS), "vector": VECTORS[None]}, r"'vector' has shape \(1, 8, 3\)"),
        ({"id": np.array(IDS, dtype=object), "vector": VECTORS}, r"not objects"),
        ({"id": np.array(7), "vector": VECTORS}, r"'id' has shape \(\)"),
        ({}, "holds no array"),
    ]
    for arrays, message in cases:
        np.savez(folder / "wrong.npz", **arrays)
        with pytest.raises(DataError, match=message):
            load(folder, "wrong.npz")
    (folder / "wrong.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError, match="cannot be read as NumPy arrays"):
        load(folder, "wrong.npz")


def test_given_vectors_in_a_pipeline(folder: Path) -> None:
    write(folder / "shuffled.npz", [4, 1, 0, 7, 6, 2, 3, 5])

    def scores(name: str) -> torch.Tensor:
        config = {
            "name": "given",
            "data": {
                "source": {
                    "type": "tables",
                    "interactions": "log.csv",
                    "items": ["items.csv", name],
                }
            },
            "model": {
                "items": {
                    "encoders": {"vector": {"type": "vector", "standardize": True}},
                    "fusion": {"type": "concat", "dim": 8},
                },
                "queries": {"encoders": {"history": "history_mean"}},
                "tasks": ["softmax"],
                "training": {"epochs": 2},
            },
        }
        pipeline = Pipeline.from_config(config, base_dir=folder).fit(progress=False)
        return torch.tensor(pipeline.recommend("u1", k=3).scores)

    assert torch.equal(scores("vectors.npz"), scores("shuffled.npz"))
