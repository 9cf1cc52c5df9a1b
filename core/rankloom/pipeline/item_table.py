"""The item table: raw fields → cached features → vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from rankloom.data.cache import EmbeddingCache
from rankloom.data.tables import Table
from rankloom.nn.encoding import encode_values
from rankloom.pipeline.model import Model
from rankloom.protocols import Features

__all__ = ["ItemTable", "Progress", "encode_fields"]

Progress = Callable[[str, int, int], None]


def encode_fields(
    encoders: Mapping[str, Any],
    fields: Mapping[str, str],
    table: Table,
    rows: list[int] | None,
    cache: EmbeddingCache | None,
    progress: Progress | None = None,
) -> tuple[dict[str, Features], int]:
    """Collate and precompute fields of a table.

    Args:
        encoders: By name.
        fields: The field each encoder reads.
        table: Items or users.
        rows: Which rows; None for all.
        cache: Where frozen encodings are kept.
        progress: Told (encoder, done, total).

    Returns:
        Features by encoder name, and how many values were really encoded.
    """
    out: dict[str, Features] = {}
    encoded = 0
    for name, encoder in encoders.items():
        tell = None
        if progress is not None:
            tell = _named(progress, name)
        values = table.values(fields[name], rows)
        out[name], count = encode_values(encoder, values, cache=cache, progress=tell)
        encoded += count
    return out, encoded


def _named(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(name, done, total)


class ItemTable:
    """Features and vectors of all items for one model.

    Rows only append. ``vectors`` is refreshed whole after training and for new rows on an addition;
    ``version`` counts those changes.

    Args:
        model: Whose item tower runs.
        fields: The item field each of its item encoders reads.
    """

    def __init__(self, model: Model, fields: Mapping[str, str]) -> None:
        self.model = model
        self.fields = dict(fields)
        self.features: dict[str, Features] = {}
        self.vectors = torch.empty(0, model.items.dim)
        self.present = torch.empty(0, dtype=torch.bool)
        self.version = 0
        self.encoded = 0

    def __len__(self) -> int:
        return int(self.present.shape[0])

    def load(
        self, items: Table, cache: EmbeddingCache | None, progress: Progress | None = None
    ) -> int:
        """Compute the features of all items; returns how many values were really encoded."""
        self.features, self.encoded = encode_fields(
            self.model.items.encoders, self.fields, items, None, cache, progress
        )
        return self.encoded

    def device(self) -> torch.device:
        """Where the model lives."""
        for parameter in self.model.parameters():
            return parameter.device
        return torch.device("cpu")

    @torch.no_grad()
    def encode(self, features: Mapping[str, Features], block: int = 8192) -> tuple[Tensor, Tensor]:
        """Run the item tower in evaluation mode over ``n`` rows, in blocks."""
        was_training = self.model.training
        self.model.eval()
        device = self.device()
        n = len(next(iter(features.values())))
        vectors, present = [], []
        for start in range(0, max(n, 1), block):
            rows = torch.arange(start, min(start + block, n))
            part = {name: f.select(rows).to(device) for name, f in features.items()}
            v, p = self.model.items.encode(part)
            vectors.append(v)
            present.append(p)
        self.model.train(was_training)
        return torch.cat(vectors), torch.cat(present)

    def refresh(self) -> None:
        """Recompute all vectors."""
        self.vectors, self.present = self.encode(self.features)
        self.version += 1

    def append(self, items: Table, rows: list[int], cache: EmbeddingCache | None) -> None:
        """Encode new rows of a longer table and append them."""
        fresh, _ = encode_fields(self.model.items.encoders, self.fields, items, rows, cache)
        vectors, present = self.encode(fresh)
        self.features = {
            name: Features.cat([old, fresh[name]]) for name, old in self.features.items()
        }
        self.vectors = torch.cat([self.vectors, vectors])
        self.present = torch.cat([self.present, present])
        self.version += 1

    def pseudo_item(self, field: str, text: str) -> Tensor | None:
        """Encode free text as an item of which only ``field`` is known.

        Returns:
            ``[1, d]``, or None if no encoder of the item tower reads that field.
        """
        parts: dict[str, Features] = {}
        readers = 0
        for name, encoder in self.model.items.encoders.items():
            if self.fields[name].removeprefix("item.") == field:
                parts[name], _ = encode_values(encoder, [text], cache=None)
                readers += 1
            else:
                parts[name] = _missing_like(self.features[name])
        if not readers:
            return None
        return self.encode(parts)[0]


def _missing_like(features: Features) -> Features:
    one = torch.zeros(1, dtype=torch.long)
    row = features.select(one)
    blank = {name: torch.zeros_like(tensor) for name, tensor in row.tensors.items()}
    return Features(blank, torch.zeros_like(row.present))
