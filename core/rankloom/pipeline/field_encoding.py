"""Fields of a table, encoded by the encoders that read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from rankloom.data.cache import EmbeddingCache
from rankloom.data.tables import Table
from rankloom.errors import DataError
from rankloom.nn.encoding import encode_values
from rankloom.protocols import Features

__all__ = ["EncodedFields", "Progress", "Skipped", "encode_fields"]

Progress = Callable[[str, int, int], None]

#: How many bad values an error names.
NAMED = 5


@dataclass(frozen=True)
class Skipped:
    """A value that could not be read and counts as missing.

    Attributes:
        field: Dotted name of the field.
        id: External id of its row.
        reason: Why.
    """

    field: str
    id: str
    reason: str


@dataclass(frozen=True)
class EncodedFields:
    """What the encoders of one side made of a table.

    Attributes:
        features: By encoder name.
        encoded: How many values were really encoded.
        skipped: Values that could not be read.
    """

    features: dict[str, Features]
    encoded: int = 0
    skipped: list[Skipped] = field(default_factory=list)


def encode_fields(
    encoders: Mapping[str, Any],
    fields: Mapping[str, str],
    table: Table,
    rows: list[int] | None,
    cache: EmbeddingCache | None,
    progress: Progress | None = None,
    device: torch.device | str | None = None,
) -> EncodedFields:
    """Collate and precompute fields of a table.

    Args:
        encoders: By name.
        fields: The field each encoder reads.
        table: Items or users.
        rows: Which rows; None for all.
        cache: Where frozen encodings are kept.
        progress: Told (encoder, done, total).
        device: Where frozen encoders run; None: the CPU.

    Raises:
        DataError: A value cannot be read and the encoder does not say ``on_bad_item: skip``. All
            others have been encoded by then, and are in the cache.
    """
    out: dict[str, Features] = {}
    encoded = 0
    skipped: list[Skipped] = []
    for name, encoder in encoders.items():
        tell = None
        if progress is not None:
            tell = _named(progress, name)
        values = table.values(fields[name], rows)
        features, count = encode_values(encoder, values, cache=cache, progress=tell, device=device)
        if features.problems:
            skipped += _problems(encoder, features, fields[name], table, rows)
        out[name] = Features(features.tensors, features.present)
        encoded += count
    return EncodedFields(out, encoded, skipped)


def _problems(
    encoder: Any, features: Features, name: str, table: Table, rows: list[int] | None
) -> list[Skipped]:
    found = sorted(features.problems.items())
    at = [row if rows is None else rows[row] for row, _ in found]
    ids = table.ids.external(at)
    bad = [Skipped(name, str(key), reason) for key, (_, reason) in zip(ids, found, strict=True)]
    if getattr(encoder, "on_bad_item", "error") == "skip":
        return bad
    named = "; ".join(f"{table.side} {one.id!r}: {one.reason}" for one in bad[:NAMED])
    more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    raise DataError(
        f"{len(bad)} of {len(features)} values of {name!r} cannot be read: {named}{more}. Correct "
        f"them, or set 'on_bad_item: skip' at the encoder to count them as missing. All others "
        f"are encoded and cached."
    )


def _named(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(name, done, total)
