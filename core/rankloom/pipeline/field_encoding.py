"""Fields of a table, encoded by the encoders that read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rankloom.data.cache import EmbeddingCache
from rankloom.data.tables import Table
from rankloom.nn.encoding import encode_values
from rankloom.protocols import Features

__all__ = ["Progress", "encode_fields"]

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
