"""A hash of a data set's contents, which a bundle keeps."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import polars as pl

from rankloom.data.dataset import Dataset
from rankloom.data.tables import Table

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["fingerprint"]


def fingerprint(dataset: Dataset) -> str:
    """Return the SHA-256 (hex) of ids, fields, interactions, positives and the given split.

    Name and report do not count: the same contents from another path have the same fingerprint.
    """
    digest = hashlib.sha256(b"rankloom-data-1")
    for table in (dataset.items, dataset.users):
        _add_table(digest, table)
    log = dataset.interactions
    columns = [log.users, log.items, log.values, log.times, log.rows, dataset.positive]
    if dataset.given_split is not None:
        columns.append(dataset.given_split)
    for column in columns:
        _add(digest, str(column.dtype), column.contiguous().numpy().tobytes())
    _add(digest, "timed", bytes([log.timed]))
    return digest.hexdigest()


def _add_table(digest: _Hash, table: Table) -> None:
    _add(digest, table.side, _json(list(table.ids.ids)))
    for name, spec in table.fields.items():
        about = f"{name} {spec.type} {spec.multiple} {spec.length}"
        column = table.frame[name]
        if spec.type == "vector":
            lengths = column.list.len().fill_null(0).cast(pl.Int64).to_numpy().tobytes()
            flat = column.explode().drop_nulls().cast(pl.Float32).to_numpy().tobytes()
            _add(digest, about, lengths + flat)
        else:
            _add(digest, about, _json(column.to_list()))


def _add(digest: _Hash, label: str, data: bytes) -> None:
    # the length in front keeps two different sequences of columns from running together
    digest.update(f"\n{label}:{len(data)}:".encode())
    digest.update(data)


def _json(values: object) -> bytes:
    return json.dumps(values, ensure_ascii=True, separators=(",", ":")).encode()
