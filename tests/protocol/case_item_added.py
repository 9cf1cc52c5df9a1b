"""An item added while serving: rows append, only they are encoded, everything learns its size."""

from collections.abc import Sequence
from typing import Protocol

import polars as pl
import torch
from torch import Tensor

from rankloom.data.tables import Table
from rankloom.protocols import Encoder, Retriever


class Extends(Protocol):
    def extend(self, n_items: int) -> None: ...


def append(items: Table, ids: list[object], values: pl.DataFrame) -> tuple[Table, list[int]]:
    grown = items.extended(ids, values)
    return grown, list(range(len(items), len(grown)))


def encode(items: Table, rows: list[int], table: Tensor, encoder: Encoder, field: str) -> Tensor:
    features = encoder.precompute(encoder.collate(items.values(field, rows)))
    return torch.cat([table, encoder.forward(features).vectors])


def announce(table: Tensor, rows: list[int], found: Retriever, scorers: Sequence[Extends]) -> None:
    found.refresh(table, torch.tensor(rows))
    for scorer in scorers:
        scorer.extend(len(table))
