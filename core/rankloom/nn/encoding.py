"""Raw values to features: collated, precomputed, and cached where the encoder allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor

from rankloom.data.cache import Compute, EmbeddingCache, content_key, distinct
from rankloom.errors import PluginError
from rankloom.protocols import Encoder, Features

__all__ = ["encode_values"]

T = TypeVar("T")
_BLOCK = 256
_CHUNK = 8192


def encode_values(
    encoder: Encoder,
    values: Sequence[Any],
    *,
    cache: EmbeddingCache | None,
    progress: Callable[[int, int], None] | None = None,
    device: torch.device | str | None = None,
) -> tuple[Features, int]:
    """Collate and precompute the values of one field.

    An encoder with ``fingerprint()`` is frozen up to ``precompute``, which must then yield one
    float tensor ``vector [n, d]``: each distinct value is encoded once, and with a cache only once
    ever. Values are told apart by ``encoder.content(value)``, where there is such a method, so that
    a file is known by its bytes and not by its name. Others are collated and precomputed in chunks.

    Args:
        encoder: The field's encoder, prepared.
        values: ``n`` raw values, None where missing.
        cache: Where frozen vectors are kept; None: nowhere.
        progress: Told (values done, values to encode) while frozen values are encoded.
        device: Where ``precompute`` runs; None: the CPU. Results are on the CPU.

    Returns:
        Features in the order of ``values``, with the ``problems`` that ``collate`` found, and how
        many values a frozen encoder really encoded.

    Raises:
        PluginError: An encoder with ``fingerprint()`` precomputes something else than ``vector``.
    """
    fingerprint = getattr(encoder, "fingerprint", None)
    if fingerprint is None:
        return _in_chunks(encoder, values, device), 0
    rows = [row for row, value in enumerate(values) if value is not None]
    if not rows:
        return _precomputed(encoder, encoder.collate(values), device), 0
    kept = [values[row] for row in rows]
    content = getattr(encoder, "content", None)
    contents = kept if content is None else [content(value) for value in kept]
    problems: dict[bytes, str] = {}
    compute = _compute(encoder, kept, contents, problems, progress, device)
    if cache is None:
        vectors, count = _once(contents, compute)
    else:
        vectors, count = cache.get_or_compute(str(fingerprint()), kept, compute, contents)
    # NaN stands for a value that the encoder found missing (a blank text), infinity for one that it
    # could not read, which is not kept.
    there = vectors[:, :1].isfinite().all(1)
    out = torch.zeros(len(values), vectors.shape[1])
    present = torch.zeros(len(values), dtype=torch.bool)
    at = torch.tensor(rows)
    out[at] = torch.where(there[:, None], vectors, torch.zeros_like(vectors))
    present[at] = there
    said = {}
    if problems:
        keys = ((rows[n], content_key(contents[n])) for n in range(len(kept)))
        said = {row: problems[key] for row, key in keys if key in problems}
    return Features({"vector": out}, present, said), count


def _precomputed(
    encoder: Encoder, features: Features, device: torch.device | str | None
) -> Features:
    if device is not None:
        features = features.to(device)
    return encoder.precompute(features).to("cpu")


def _in_chunks(
    encoder: Encoder, values: Sequence[Any], device: torch.device | str | None
) -> Features:
    parts: list[Features] = []
    problems: dict[int, str] = {}
    for start in range(0, max(len(values), 1), _CHUNK):
        collated = encoder.collate(values[start : start + _CHUNK])
        problems |= {start + row: reason for row, reason in collated.problems.items()}
        parts.append(_precomputed(encoder, collated, device))
    whole = Features.cat(parts)
    return Features(whole.tensors, whole.present, problems)


def _compute(
    encoder: Encoder,
    values: Sequence[Any],
    contents: Sequence[Any],
    problems: dict[bytes, str],
    progress: Callable[[int, int], None] | None,
    device: torch.device | str | None,
) -> Compute:
    size: int = getattr(encoder, "block_size", _BLOCK)

    def blocks(positions: list[int]) -> Iterator[Tensor]:
        parts = [positions[start : start + size] for start in range(0, len(positions), size)]
        collate = _Collate(encoder, values)
        done = 0
        for part, collated in zip(parts, _ahead(collate, parts), strict=True):
            for row, reason in collated.problems.items():
                problems[content_key(contents[part[row]])] = reason
            features = _precomputed(encoder, collated, device)
            if features.tensors.keys() != {"vector"} or features["vector"].dim() != 2:
                raise PluginError(
                    f"{type(encoder).__name__} has fingerprint(), so precompute() must yield one "
                    "tensor 'vector' [n, d]; it yields "
                    f"{ {name: tuple(t.shape) for name, t in features.tensors.items()} }. "
                    "Return that, or remove fingerprint() to do without the cache."
                )
            vectors = features["vector"].float().masked_fill(~features.present[:, None], torch.nan)
            vectors[list(collated.problems)] = torch.inf
            yield vectors
            done += len(part)
            if progress is not None:
                progress(done, len(positions))

    return blocks


class _Collate:
    """Collates the values at given positions."""

    def __init__(self, encoder: Encoder, values: Sequence[Any]) -> None:
        self.encoder, self.values = encoder, values

    def __call__(self, part: list[int]) -> Features:
        return self.encoder.collate([self.values[position] for position in part])


def _ahead(call: Callable[[list[int]], T], parts: Sequence[list[int]]) -> Iterable[T]:
    """Yield ``call(part)``; the next one is made in a thread while the network runs."""
    if len(parts) < 2:
        yield from map(call, parts)
        return
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(call, parts[0])
        for part in [*parts[1:], None]:
            ready = following.result()
            if part is not None:
                following = pool.submit(call, part)
            yield ready


def _once(contents: Sequence[Any], compute: Compute) -> tuple[Tensor, int]:
    """Encode each distinct value once, longest first, without keeping anything."""
    inverse, _, first = distinct(contents)
    order = sorted(range(len(first)), key=lambda n: -len(str(contents[first[n]])))
    fresh = torch.cat(list(compute([first[n] for n in order])))
    out = torch.empty_like(fresh)
    out[torch.tensor(order)] = fresh
    return out[torch.tensor(inverse)], int((~fresh[:, :1].isinf().any(1)).sum())
