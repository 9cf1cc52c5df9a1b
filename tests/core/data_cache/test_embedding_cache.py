from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rankloom.data.cache import EmbeddingCache, content_key, distinct
from rankloom.errors import PluginError


class Counting:
    """Computes (length, first code point) and remembers what it was asked."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values
        self.asked: list[Any] = []

    def __call__(self, positions: list[int]) -> Iterator[Tensor]:
        for position in positions:
            value = self.values[position]
            self.asked.append(value)
            yield torch.tensor([[len(value), ord(value[0]) if value else 0]], dtype=torch.float32)


def ask(cache: EmbeddingCache, values: list[str], name: str = "e") -> tuple[Tensor, int, list[Any]]:
    compute = Counting(values)
    vectors, count = cache.get_or_compute(name, values, compute)
    return vectors, count, compute.asked


def want(values: list[str]) -> list[list[float]]:
    return [[float(len(v)), float(ord(v[0]) if v else 0)] for v in values]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.text(max_size=4), max_size=8), min_size=1, max_size=4))
def test_always_right_and_never_twice(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    known: set[str] = set()
    for values in runs:
        vectors, count, asked = ask(EmbeddingCache(folder), values)
        if values:
            assert vectors.tolist() == want(values)
        assert sorted(asked) == sorted(set(values) - known)
        assert count == len(asked)
        known |= set(values)


def test_fingerprints_are_apart(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    assert ask(cache, ["a"], "one")[1] == 1
    assert ask(cache, ["a"], "two")[1] == 1
    assert ask(cache, ["a"], "one")[1] == 0


def test_longest_first(tmp_path: Path) -> None:
    assert ask(EmbeddingCache(tmp_path), ["a", "ccc", "bb"])[2] == ["ccc", "bb", "a"]


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.safetensors"))


def test_truncated_segment_is_encoded_again_with_a_warning(tmp_path: Path) -> None:
    ask(EmbeddingCache(tmp_path), ["a", "b"])
    path = segments(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.warns(RuntimeWarning, match="cannot be read"):
        vectors, count, _ = ask(EmbeddingCache(tmp_path), ["a", "b"])
    assert count == 2
    assert vectors.tolist() == want(["a", "b"])


def test_flipped_bits_are_noticed(tmp_path: Path) -> None:
    ask(EmbeddingCache(tmp_path), ["a", "b", "c"])
    path = segments(tmp_path)[0]
    raw = bytearray(path.read_bytes())
    at = raw.find(np.array([1, ord("b")], dtype="<f4").tobytes())
    raw[at + 6] ^= 4
    path.write_bytes(bytes(raw))
    with pytest.warns(RuntimeWarning, match="1 vectors .* damaged"):
        vectors, count, asked = ask(EmbeddingCache(tmp_path), ["a", "b", "c"])
    assert (count, asked) == (1, ["b"])
    assert vectors.tolist() == want(["a", "b", "c"])
    assert ask(EmbeddingCache(tmp_path), ["a", "b", "c"])[1] == 0


def test_foreign_file_and_leftover_temporary(tmp_path: Path) -> None:
    ask(EmbeddingCache(tmp_path), ["a"])
    folder = segments(tmp_path)[0].parent
    (folder / "half.tmp").write_bytes(b"half")
    (folder / "zz.safetensors").write_bytes(b"")
    with pytest.warns(RuntimeWarning, match="zz"):
        assert ask(EmbeddingCache(tmp_path), ["a"])[1] == 0


def test_interrupted_run_keeps_what_it_encoded(tmp_path: Path) -> None:
    def stops(positions: list[int]) -> Iterator[Tensor]:
        yield torch.ones(2, 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        EmbeddingCache(tmp_path).get_or_compute("e", ["a", "b", "c"], stops)
    assert ask(EmbeddingCache(tmp_path), ["a", "b", "c"])[2] == ["c"]
    assert not list(tmp_path.glob("*/*.tmp"))


def test_wrong_number_of_rows_and_changed_width(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    with pytest.raises(PluginError, match="1 vectors for 2 values"):
        cache.get_or_compute("e", ["a", "b"], lambda _: [torch.ones(1, 2)])
    ask(cache, ["a"])
    with pytest.raises(PluginError, match="width 3"):
        cache.get_or_compute("e", ["z"], lambda _: [torch.ones(1, 3)])


def test_unwritable_directory_warns_and_answers(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    with pytest.warns(RuntimeWarning, match="cannot be written"):
        assert ask(EmbeddingCache(blocked), ["a"])[0].tolist() == want(["a"])


def _write(folder: Path, start: int) -> None:
    ask(EmbeddingCache(folder), [f"{i}" for i in range(start, start + 40)])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_two_processes_leave_both_segments(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write, args=(tmp_path, start)) for start in (0, 20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    values = [f"{i}" for i in range(60)]
    vectors, count, _ = ask(EmbeddingCache(tmp_path), values)
    assert count == 0
    assert vectors.tolist() == want(values)


def test_running_cache_sees_what_others_wrote(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    ask(cache, ["a"])
    ask(EmbeddingCache(tmp_path), ["b"])
    assert ask(cache, ["a", "b"])[1] == 0


def test_content_tells_types_apart() -> None:
    values: list[Any] = [
        "1",
        b"1",
        1,
        ["1"],
        ["1", "2"],
        "1\ud800",
        np.zeros(2),
        np.zeros(2, dtype=np.float32),
        torch.zeros(3),
        np.zeros((1, 2)),
    ]
    assert len({content_key(value) for value in values}) == len(values)
    assert content_key(torch.zeros(3)) == content_key(np.zeros(3, dtype=np.float32))
    assert distinct(["a", "b", "a"])[::2] == ([0, 1, 0], [0, 1])
