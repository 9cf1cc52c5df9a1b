"""A small world that any component can be driven with.

Twelve items (ten of them with positive interactions), six users (one without any), five histories
of different lengths, fields of every tabular type with missing values, and vectors for the towers.
"""

from __future__ import annotations

import io
import math
import struct
import wave
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
import torch
from torch import Tensor

from rankloom.data.fields import FieldSpec
from rankloom.data.histories import HistoryStore
from rankloom.data.ids import IdMap
from rankloom.data.interactions import Interactions
from rankloom.data.tables import Table
from rankloom.protocols import (
    CandidateBatch,
    Context,
    Encoded,
    QueryBatch,
    RaggedIndices,
    ScoredCandidates,
    Scores,
    TrainBatch,
    TrainData,
    ValidationBlock,
    ValidationData,
)

__all__ = ["COLD", "DIM", "World", "make_world"]

#: Width of the towers' vectors.
DIM = 8

#: Items outside the training universe: one with a negative interaction only, one with none.
COLD = (10, 11)

_LOG = {
    0: [0, 1, 2, 3, 4],
    1: [2, 3, 5, 6],
    2: [1, 4, 6, 7, 8, 9],
    3: [0, 5, 9],
    4: [3, 8, 2, 7, 10],
}
_TITLES = [
    "A Quiet Harbour",
    "The Robot and the Long Road Home",
    "Star Pilots",
    None,
    "Winter",
    "The Last Lighthouse Keeper's Daughter",
    "Robots of the Outer Ring",
    "Quiet",
    "Harbour Lights",
    "The Road to the Stars",
    "Zeppelin Gardens",
    "Xylophone Quartet",
]
_GENRES: list[list[str] | None] = [
    ["drama"],
    ["scifi", "drama"],
    ["scifi"],
    ["comedy"],
    None,
    ["drama", "comedy"],
    ["scifi", "comedy"],
    ["drama"],
    ["comedy", "drama", "scifi"],
    ["scifi"],
    ["opera"],
    ["opera", "drama"],
]
_KINDS = ["film", "film", "series", "film", None, "series", "film", "film", "series", "film"]
_YEARS = [1990, 2001, 2010, 1999, None, 1985, 2020, 1990, 1977, 2005, 2040, 2050]


@dataclass(frozen=True)
class World:
    """Everything a component may be handed.

    Attributes:
        items: The catalog of twelve items.
        users: Six users.
        train: The training rows.
        queries: Five queries with the whole history of users 0 to 4, and one empty one (user 5).
        item_vectors: ``[12, DIM]`` of length 1.
        query_vectors: ``[6, DIM]``.
    """

    items: Table
    users: Table
    train: TrainData
    queries: QueryBatch
    item_vectors: Tensor
    query_vectors: Tensor

    def candidates(self, items: Tensor | None = None) -> CandidateBatch:
        """Return candidates with vectors: ``items`` ``[n]`` or ``[q, n]``, default the catalog."""
        chosen = torch.arange(len(self.items)) if items is None else items
        vectors = self.item_vectors[chosen.clamp(min=0)]
        return CandidateBatch(chosen, encoded=Encoded(vectors))

    def scored(self, n: int = 6, seed: int = 0, *, gaps: bool = True) -> ScoredCandidates:
        """Return ``n`` scored candidates a query, some masked and some unknown (NaN)."""
        generator = torch.Generator().manual_seed(seed)
        q = len(self.queries)
        items = torch.stack(
            [torch.randperm(len(self.items), generator=generator) for _ in range(q)]
        )
        values = torch.randn(q, n, generator=generator)
        mask = torch.ones(q, n, dtype=torch.bool)
        if gaps and n > 2:
            values[1::2, 0] = torch.nan
            mask[::2, 1] = False
        candidates = self.candidates(items[:, :n])
        vectors = self.item_vectors[items[:, :n]]
        context = Context(self.query_vectors, vectors, version=0)
        masked = replace(candidates, mask=mask, reasons={"test": ~mask})
        return ScoredCandidates(self.queries, masked, Scores(values), lambda _: context)

    def batch(self, regime: str) -> TrainBatch:
        """Return five training queries with targets and what an objective asked for.

        Args:
            regime: ``catalog``, ``sampled``, ``batch`` or ``none``.
        """
        rows = torch.arange(5)
        targets = torch.tensor([4, 6, 9, 5, 7])
        values = torch.tensor([4.0, 3.0, 5.0, 2.0, 1.0])
        weights = torch.tensor([1.0, 0.5, 2.0, 1.0, 1.5])
        queries = self.queries.select(rows)
        batch = TrainBatch(queries, targets, values, weights)
        if regime == "catalog":
            universe = self.train.universe.nonzero()[:, 0]
            columns = torch.searchsorted(universe, targets)
            return batch.with_candidates(self.candidates(universe), columns)
        if regime == "sampled":
            drawn = torch.tensor([[0, 8, 1], [1, 0, 7], [0, 2, 3], [1, 3, 8], [0, 5, 9]])
            log_q = torch.full(drawn.shape, -2.3)
            return batch.with_candidates(replace(self.candidates(drawn), log_q=log_q), None)
        if regime == "batch":
            return batch.with_candidates(self.candidates(targets), rows)
        return batch

    def validation(self) -> ValidationData:
        """Return one block: every query, the catalog, one unseen target each."""
        q = len(self.queries)
        targets = RaggedIndices.from_lists([[(item * 2 + 5) % 10] for item in range(q)])
        block = ValidationBlock(self.queries, self.candidates(), targets, torch.full((q,), 4.0))

        def blocks() -> Iterator[ValidationBlock]:
            yield block

        return ValidationData(blocks, torch.Generator().manual_seed(0), q)

    def without_cold_values(self) -> World:
        """Return the world with other raw values at the items outside the universe."""
        warm = [name for name, spec in self.items.fields.items() if spec.type != "vector"]
        frame = self.items.frame.with_columns(
            [
                pl.Series(
                    name, _replaced(self.items.frame[name].to_list()), self.items.frame[name].dtype
                )
                for name in warm
            ]
        )
        items = replace(self.items, frame=frame)
        return replace(self, items=items, train=replace(self.train, items=items))


def make_world() -> World:
    """Return the world; it is the same every time."""
    generator = torch.Generator().manual_seed(7)
    interactions = _interactions()
    positive = interactions.values != 1
    items, users = _items(generator), _users()
    universe = torch.bincount(interactions.items[positive], minlength=len(items)) > 0
    known = torch.bincount(interactions.users, minlength=len(users)) > 0
    train = TrainData(interactions, positive, items, users, universe, known, seed=3)
    item_vectors = torch.randn(len(items), DIM, generator=generator)
    item_vectors = torch.nn.functional.normalize(item_vectors, dim=1)
    query_vectors = torch.randn(len(users), DIM, generator=generator)
    asking = torch.arange(len(users))
    history = HistoryStore(interactions.select(positive), len(users)).whole(asking)
    seen = HistoryStore(interactions, len(users)).whole(asking).items
    times = torch.full((len(users),), int(interactions.times.max()) + 60)
    at, mask = history.padded(len(items))
    tokens = item_vectors[history.items.values[at]] * mask[..., None]
    queries = QueryBatch(asking, history, seen, times, Encoded(query_vectors, tokens, mask))
    return World(items, users, train, queries, item_vectors, query_vectors)


def _interactions() -> Interactions:
    pairs = [(user, item) for user, items in _LOG.items() for item in items]
    n = len(pairs)
    columns = torch.tensor(pairs)
    values = torch.tensor(
        [1.0 if item == COLD[0] else 2.0 + (k * 7) % 4 for k, (_, item) in enumerate(pairs)]
    )
    # Every third event ties with the one before it.
    times = torch.tensor([1_600_000_000 + 3600 * (k - (k % 3 == 2)) for k in range(n)])
    return Interactions(columns[:, 0], columns[:, 1], values, times, torch.arange(n))


def _items(generator: torch.Generator) -> Table:
    n = len(_TITLES)
    posters: list[list[float] | None] = torch.randn(n, 4, generator=generator).tolist()
    posters[3] = None
    added: list[int | None] = [1_500_000_000 + 86_400 * k for k in range(n)]
    added[5] = None
    frame = pl.DataFrame(
        {
            "title": _TITLES,
            "genres": _GENRES,
            "kind": [*_KINDS, "opera", "opera"],
            "year": pl.Series(_YEARS, dtype=pl.Float64),
            "poster": posters,
            "added": added,
            "photo": [None if k == 4 else _picture(k) for k in range(n)],
            "sound": [None if k == 6 else _tone(k) for k in range(n)],
        }
    )
    specs = [
        FieldSpec("item.title", "text"),
        FieldSpec("item.genres", "category", multiple=True),
        FieldSpec("item.kind", "category"),
        FieldSpec("item.year", "number"),
        FieldSpec("item.poster", "vector", length=4),
        FieldSpec("item.added", "timestamp"),
        FieldSpec("item.photo", "image"),
        FieldSpec("item.sound", "audio"),
    ]
    ids = IdMap([f"i{k}" for k in range(n)])
    return Table("item", ids, frame, {spec.name.partition(".")[2]: spec for spec in specs})


def _picture(k: int) -> bytes:
    """A PNG of 6 x 5 pixels, every third one grey."""
    width, height, bands = 6, 5, 1 if k % 3 == 2 else 3
    line = b"".join(
        bytes([(37 * k + 11 * x * b) % 256 for b in range(bands)]) for x in range(width)
    )
    raw = zlib.compress((b"\0" + line) * height)
    head = struct.pack(">IIBBBBB", width, height, 8, 0 if bands == 1 else 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", raw), (b"IEND", b""))
    out = b"\x89PNG\r\n\x1a\n"
    for name, data in chunks:
        out += struct.pack(">I", len(data)) + name + data
        out += struct.pack(">I", zlib.crc32(name + data))
    return out


def _tone(k: int) -> bytes:
    """A WAV of a tone: 8 kHz, or 16 kHz with two channels; lengths differ."""
    channels = 1 + k % 2
    rate, frames = 8000 * channels, 800 + 160 * k
    heights = [int(9000 * math.sin(0.05 * (k + 2) * t)) for t in range(frames)]
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(b"".join(struct.pack("<h", h) * channels for h in heights))
    return out.getvalue()


def _users() -> Table:
    frame = pl.DataFrame(
        {
            "age": pl.Series([31, 18, None, 65, 44, 27], dtype=pl.Float64),
            "job": ["nurse", "student", "cook", None, "nurse", "pilot"],
        }
    )
    fields = {"age": FieldSpec("user.age", "number"), "job": FieldSpec("user.job", "category")}
    return Table("user", IdMap([f"u{k}" for k in range(len(frame))]), frame, fields)


def _replaced(values: list[Any]) -> list[Any]:
    """Exchange the values of the cold rows for others that occur nowhere else."""
    fresh = list(values)
    for row in COLD:
        old = values[row]
        if isinstance(old, str):
            fresh[row] = "unheard of words"
        elif isinstance(old, bytes):
            fresh[row] = _tone(40) if old[:4] == b"RIFF" else _picture(40)
        elif isinstance(old, list):
            fresh[row] = ["ballet"]
        else:
            fresh[row] = old * 3
    return fresh
