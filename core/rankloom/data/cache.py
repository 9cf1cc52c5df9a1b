"""The embedding cache: what a frozen encoder made of each distinct value.

One folder an encoder fingerprint, in it immutable **segments**: safetensors files with the sha256
of each value, its vector and a checksum. A segment is written under a temporary name and renamed,
so that a reader sees it whole or not at all, and two processes that write at once leave two
segments. Reading maps the files into memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rankloom.errors import PluginError

__all__ = ["Compute", "EmbeddingCache", "content_key", "distinct"]

Compute = Callable[[list[int]], Iterable[Tensor]]

_FLUSH_SECONDS = 60.0
_KEY_BYTES = 32


def content_key(value: Any) -> bytes:
    """Return the sha256 of a value's content; equal values of different types differ."""
    if isinstance(value, str):
        tag, content = b"s", value.encode("utf-8", "surrogatepass")
    elif isinstance(value, bytes | bytearray | memoryview):
        tag, content = b"b", bytes(value)
    elif isinstance(value, np.ndarray | Tensor):
        array = np.ascontiguousarray(value)
        tag, content = f"a{array.dtype}{array.shape}".encode(), array.tobytes()
    else:
        tag, content = b"j", json.dumps(value, default=repr, sort_keys=True).encode()
    return hashlib.sha256(tag + b"\0" + content).digest()


def distinct(values: Sequence[Any]) -> tuple[list[int], list[bytes], list[int]]:
    """Find the distinct values.

    Returns:
        For each value the number of its distinct value, the distinct keys, and the position at
        which each first occurs.
    """
    numbers: dict[bytes, int] = {}
    first: list[int] = []
    inverse = []
    for position, value in enumerate(values):
        number = numbers.setdefault(content_key(value), len(first))
        if number == len(first):
            first.append(position)
        inverse.append(number)
    return inverse, list(numbers), first


@dataclass(frozen=True)
class _Segment:
    vectors: Tensor
    sums: Tensor


class _Folder:
    """The segments of one fingerprint and where each key's row is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.segments: list[_Segment] = []
        self.where: dict[bytes, tuple[int, int]] = {}
        self.seen: set[str] = set()

    def scan(self) -> None:
        """Open segments that were not there at the last look."""
        for file in sorted(self.path.glob("*.safetensors")):
            if file.name in self.seen:
                continue
            self.seen.add(file.name)
            try:
                self._open(file)
            except (OSError, SafetensorError, ValueError) as error:
                warnings.warn(
                    f"The embedding cache segment {file} cannot be read ({error}) and is ignored; "
                    "what it held is encoded again. Delete it to be rid of this message.",
                    RuntimeWarning,
                    stacklevel=2,
                )

    def _open(self, file: Path) -> None:
        with safe_open(file, framework="pt") as handle:
            if not {"keys", "vectors", "sums"} <= set(handle.keys()):
                raise ValueError("it lacks a tensor")
            keys, vectors, sums = (handle.get_tensor(n) for n in ("keys", "vectors", "sums"))
        if vectors.dtype != torch.float32 or keys.shape != (len(vectors), _KEY_BYTES):
            raise ValueError("its tensors have the wrong type or shape")
        if self.segments and vectors.shape[1] != self.segments[0].vectors.shape[1]:
            raise ValueError("its vectors have another width than the others")
        number = len(self.segments)
        self.segments.append(_Segment(vectors, sums))
        raw = keys.numpy().tobytes()
        for row in range(len(vectors)):
            self.where[raw[row * _KEY_BYTES : (row + 1) * _KEY_BYTES]] = (number, row)

    def gather(self, keys: list[bytes]) -> tuple[Tensor | None, Tensor]:
        """Return vectors ``[n, d]`` (None without segments) and ``[n]`` bool: found intact."""
        found = torch.zeros(len(keys), dtype=torch.bool)
        if not self.segments:
            return None, found
        out = torch.zeros(len(keys), self.segments[0].vectors.shape[1])
        at = np.array([self.where.get(key, (-1, -1)) for key in keys], dtype=np.int64)
        places = torch.from_numpy(at.reshape(-1, 2))
        for number, segment in enumerate(self.segments):
            mine = torch.nonzero(places[:, 0] == number)[:, 0]
            rows = places[mine, 1]
            vectors = segment.vectors[rows]
            intact = _sums(vectors) == segment.sums[rows]
            out[mine] = vectors
            found[mine] = intact
        damaged = int((places[:, 0] >= 0).sum() - found.sum())
        if damaged:
            warnings.warn(
                f"{damaged} vectors of the embedding cache {self.path} are damaged; they are "
                "encoded again.",
                RuntimeWarning,
                stacklevel=2,
            )
        return out, found


def _sums(vectors: Tensor) -> Tensor:
    """Checksum of each row: the sum of its bit patterns, which one flipped bit changes."""
    return vectors.contiguous().view(torch.int32).sum(1, dtype=torch.int64)


class EmbeddingCache:
    """Vectors of values by encoder fingerprint and content, on disk.

    Args:
        directory: Made when first written to. Safe to share between processes, and to delete.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._folders: dict[str, _Folder] = {}

    def get_or_compute(
        self,
        fingerprint: str,
        values: Sequence[Any],
        compute: Compute,
        contents: Sequence[Any] | None = None,
    ) -> tuple[Tensor, int]:
        """Return a vector for each value; each distinct new value is computed once and kept.

        A vector that starts with infinity stands for a value that could not be read: it is neither
        kept nor counted, so that it is tried again, and complained of again, the next time.

        Args:
            fingerprint: Names the encoder: its weights and settings.
            values: ``n`` raw values (text, bytes, arrays, lists).
            compute: Given positions in ``values``, yields their vectors in blocks ``[m_i, d]`` in
                that order. The longest values come first, so that blocks hold like lengths. What
                was yielded is written even if a later block fails.
            contents: What tells values apart (the bytes of files where values are paths);
                default: the values.

        Returns:
            ``[n, d]`` float32 (``[0, 0]`` for no values) and how many values were computed.

        Raises:
            PluginError: ``compute`` yielded too few rows or another width than before.
        """
        folder = self._folder(fingerprint)
        folder.scan()
        told = values if contents is None else contents
        inverse, keys, first = distinct(told)
        stored, found = folder.gather(keys)
        missing = torch.nonzero(~found)[:, 0].tolist()
        missing.sort(key=lambda number: -_length(told[first[number]]))
        count = 0
        if missing:
            fresh = self._compute(
                folder, compute, [first[n] for n in missing], [keys[n] for n in missing]
            )
            if stored is None:
                stored = fresh.new_zeros(len(keys), fresh.shape[1])
            elif stored.shape[1] != fresh.shape[1]:
                raise PluginError(
                    f"An encoder yielded vectors of width {fresh.shape[1]}, but under the same "
                    f"fingerprint {stored.shape[1]} before. Its fingerprint() must change with "
                    "everything that changes precompute()."
                )
            stored[torch.tensor(missing)] = fresh
            count = int(_encoded(fresh).sum())
        if stored is None:
            return torch.empty(0, 0), 0
        return stored[torch.tensor(inverse, dtype=torch.long)], count

    def _folder(self, fingerprint: str) -> _Folder:
        name = hashlib.sha256(fingerprint.encode()).hexdigest()[:32]
        return self._folders.setdefault(name, _Folder(self.directory / name))

    def _compute(
        self, folder: _Folder, compute: Compute, positions: list[int], keys: list[bytes]
    ) -> Tensor:
        blocks: list[Tensor] = []
        written, unwritten, since = 0, 0, time.monotonic()
        try:
            for block in compute(positions):
                blocks.append(block.detach().to("cpu", torch.float32))
                unwritten += len(block)
                if time.monotonic() - since > _FLUSH_SECONDS:
                    self._flush(folder, keys, blocks, written, unwritten)
                    written, unwritten, since = written + unwritten, 0, time.monotonic()
        finally:  # an interrupted run keeps what it has encoded
            self._flush(folder, keys, blocks, written, unwritten)
        fresh = torch.cat(blocks) if blocks else torch.empty(0, 0)
        if len(fresh) != len(keys):
            raise PluginError(
                f"An encoder yielded {len(fresh)} vectors for {len(keys)} values; precompute() "
                "must keep the number and the order of the rows."
            )
        return fresh

    def _flush(
        self, folder: _Folder, keys: list[bytes], blocks: list[Tensor], start: int, count: int
    ) -> None:
        if not count or start + count > len(keys):
            return
        vectors = torch.cat(blocks)[start:]
        keep = _encoded(vectors)
        if not keep.any():
            return
        vectors = vectors[keep].contiguous()
        raw = b"".join(keys[start + row] for row in torch.nonzero(keep)[:, 0].tolist())
        hashes = torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(-1, _KEY_BYTES)
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
            _write(folder.path, {"keys": hashes, "vectors": vectors, "sums": _sums(vectors)})
        except (OSError, SafetensorError) as error:
            warnings.warn(
                f"The embedding cache {folder.path} cannot be written ({error}); the next run "
                "will encode again. Free disk space or set another cache directory.",
                RuntimeWarning,
                stacklevel=2,
            )


def _write(folder: Path, tensors: dict[str, Tensor]) -> None:
    name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}"
    temporary = folder / f"{name}.tmp"
    try:
        save_file(tensors, temporary)
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, folder / f"{name}.safetensors")
    finally:
        temporary.unlink(missing_ok=True)


def _encoded(vectors: Tensor) -> Tensor:
    """``[n]`` bool: False where infinity stands for a value that could not be read."""
    return ~vectors[:, :1].isinf().any(1)


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes | list | tuple) else 0
