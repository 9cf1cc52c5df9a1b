"""Generators for initial weights."""

from __future__ import annotations

import zlib

import torch

__all__ = ["seeded"]


def seeded(seed: int, *names: str) -> torch.Generator:
    """Return a CPU generator for the component that ``names`` tell apart.

    Two components built with one seed would otherwise start with the same numbers: user 7 and item
    7 would have equal vectors.
    """
    mixed = zlib.crc32("\0".join(names).encode(), seed & 0xFFFFFFFF)
    return torch.Generator().manual_seed((seed & 0xFFFFFFFF) << 32 | mixed)
