from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from rankloom.data.cache import EmbeddingCache
from rankloom.errors import PluginError
from rankloom.nn.encoding import encode_values
from rankloom.protocols import Encoded, Features


class Lengths:
    """Encodes a text as (length, number of a's); counts what it is asked."""

    dim = 2

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def collate(self, values: Sequence[Any]) -> Features:
        self.asked.extend(values)
        texts = [v or "" for v in values]
        raw = torch.tensor([[len(t), t.count("a")] for t in texts]).view(-1, 2)
        return Features({"raw": raw}, torch.tensor([bool(t.strip()) for t in texts]))

    def precompute(self, features: Features) -> Features:
        return Features({"vector": features["raw"].float()}, features.present)

    def forward(self, features: Features) -> Encoded:
        return Encoded(features["vector"])


class Frozen(Lengths):
    def fingerprint(self) -> str:
        return "lengths 1"


VALUES = ["aa", None, "banana", "aa", "  ", "x"]
WANT = [[2.0, 2.0], [0, 0], [6, 3], [2, 2], [0, 0], [1, 0]]


@pytest.mark.parametrize("cached", [True, False])
def test_each_distinct_value_once_in_order_with_presence(tmp_path: Path, cached: bool) -> None:
    encoder, told = Frozen(), []
    cache = EmbeddingCache(tmp_path) if cached else None
    features, count = encode_values(
        encoder, VALUES, cache=cache, progress=lambda done, total: told.append((done, total))
    )
    assert features["vector"].tolist() == WANT
    assert features.present.tolist() == [True, False, True, True, False, True]
    assert count == 4
    assert sorted(encoder.asked) == ["  ", "aa", "banana", "x"]
    assert told == [(4, 4)]


def test_second_run_encodes_nothing_and_new_values_alone_are_added(tmp_path: Path) -> None:
    encode_values(Frozen(), VALUES, cache=EmbeddingCache(tmp_path))
    again = Frozen()
    features, count = encode_values(again, VALUES, cache=EmbeddingCache(tmp_path))
    assert (count, again.asked) == (0, [])
    assert features["vector"].tolist() == WANT
    assert features.present.tolist() == [True, False, True, True, False, True]
    _, count = encode_values(again, [*VALUES, "new"], cache=EmbeddingCache(tmp_path))
    assert (count, again.asked) == (1, ["new"])


def test_without_fingerprint_nothing_counts_or_is_cached(tmp_path: Path) -> None:
    features, count = encode_values(Lengths(), VALUES, cache=EmbeddingCache(tmp_path / "c"))
    assert features["vector"][features.present].tolist() == [[2, 2], [6, 3], [2, 2], [1, 0]]
    assert features.present.tolist() == [True, False, True, True, False, True]
    assert count == 0
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("values", [[], [None, None]])
def test_nothing_to_encode(tmp_path: Path, values: list[Any]) -> None:
    features, count = encode_values(Frozen(), values, cache=EmbeddingCache(tmp_path))
    assert features["vector"].shape == (len(values), 2)
    assert not features.present.any()
    assert count == 0


def test_blocks_are_put_back_in_order(tmp_path: Path) -> None:
    values = [f"{'a' * (i * 7 % 50)}b{i}" for i in range(700)]
    told: list[int] = []
    features, count = encode_values(
        Frozen(), values, cache=EmbeddingCache(tmp_path), progress=lambda d, _: told.append(d)
    )
    assert count == 700
    assert features["vector"][:, 0].tolist() == [float(len(v)) for v in values]
    assert told == [256, 512, 700]


def test_frozen_encoder_must_yield_vectors(tmp_path: Path) -> None:
    class Odd(Frozen):
        def precompute(self, features: Features) -> Features:
            return features

    with pytest.raises(PluginError, match="Odd has fingerprint"):
        encode_values(Odd(), ["a"], cache=EmbeddingCache(tmp_path))
