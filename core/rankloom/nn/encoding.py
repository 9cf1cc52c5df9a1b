"""Raw values to features: collated, precomputed, and cached where the encoder allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from rankloom.data.cache import Compute, EmbeddingCache, distinct
from rankloom.errors import PluginError
from rankloom.protocols import Encoder, Features

__all__ = ["encode_values"]

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
    ever. Others are collated and precomputed in chunks.

    Args:
        encoder: The field's encoder, prepared.
        values: ``n`` raw values, None where missing.
        cache: Where frozen vectors are kept; None: nowhere.
        progress: Told (values done, values to encode) while frozen values are encoded.
        device: Where ``precompute`` runs; None: the CPU. Results are on the CPU.

    Returns:
        Features in the order of ``values``, and how many values a frozen encoder really encoded.

    Raises:
        PluginError: An encoder with ``fingerprint()`` precomputes something else than ``vector``.
    """
    fingerprint = getattr(encoder, "fingerprint", None)
    if fingerprint is None:
        return _in_chunks(encoder, values, device), 0
    rows = [row for row, value in enumerate(values) if value is not None]
    if not rows:
        return _run(encoder, values, device), 0
    kept = [values[row] for row in rows]
    compute = _compute(encoder, kept, progress, device)
    if cache is None:
        vectors, count = _once(kept, compute)
    else:
        vectors, count = cache.get_or_compute(str(fingerprint()), kept, compute)
    # NaN stands for a value that the encoder found missing (a blank text, an unreadable image).
    there = ~vectors[:, :1].isnan().any(1)
    out = torch.zeros(len(values), vectors.shape[1])
    present = torch.zeros(len(values), dtype=torch.bool)
    at = torch.tensor(rows)
    out[at] = torch.where(there[:, None], vectors, torch.zeros_like(vectors))
    present[at] = there
    return Features({"vector": out}, present), count


def _run(encoder: Encoder, values: Sequence[Any], device: torch.device | str | None) -> Features:
    features = encoder.collate(values)
    if device is not None:
        features = features.to(device)
    return encoder.precompute(features).to("cpu")


def _in_chunks(
    encoder: Encoder, values: Sequence[Any], device: torch.device | str | None
) -> Features:
    starts = range(0, max(len(values), 1), _CHUNK)
    return Features.cat([_run(encoder, values[s : s + _CHUNK], device) for s in starts])


def _compute(
    encoder: Encoder,
    values: Sequence[Any],
    progress: Callable[[int, int], None] | None,
    device: torch.device | str | None,
) -> Compute:
    def blocks(positions: list[int]) -> Iterator[Tensor]:
        for start in range(0, len(positions), _BLOCK):
            block = [values[position] for position in positions[start : start + _BLOCK]]
            features = _run(encoder, block, device)
            if features.tensors.keys() != {"vector"} or features["vector"].dim() != 2:
                raise PluginError(
                    f"{type(encoder).__name__} has fingerprint(), so precompute() must yield one "
                    "tensor 'vector' [n, d]; it yields "
                    f"{ {name: tuple(t.shape) for name, t in features.tensors.items()} }. "
                    "Return that, or remove fingerprint() to do without the cache."
                )
            yield features["vector"].float().masked_fill(~features.present[:, None], torch.nan)
            if progress is not None:
                progress(min(start + _BLOCK, len(positions)), len(positions))

    return blocks


def _once(values: Sequence[Any], compute: Compute) -> tuple[Tensor, int]:
    """Encode each distinct value once, longest first, without keeping anything."""
    inverse, _, first = distinct(values)
    order = sorted(range(len(first)), key=lambda n: -len(str(values[first[n]])))
    fresh = torch.cat(list(compute([first[n] for n in order])))
    out = torch.empty_like(fresh)
    out[torch.tensor(order)] = fresh
    return out[torch.tensor(inverse)], len(first)
