"""Half precision, where the machine gains by it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch

__all__ = ["Precision", "autocast", "has_fast_bfloat16", "resolve_precision"]

Precision = Literal["auto", "float32", "bfloat16", "float16"]

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@lru_cache(maxsize=1)
def has_fast_bfloat16() -> bool:
    """Return whether bfloat16 is faster than float32 here: a GPU, AMX or AVX-512 BF16."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def resolve_precision(precision: Precision) -> Precision:
    """Return the precision that ``auto`` stands for on this machine; others stay what they are."""
    if precision != "auto":
        return precision
    return "bfloat16" if has_fast_bfloat16() else "float32"


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which networks compute in a (resolved) precision.

    Raises:
        RuntimeError: The device cannot compute in it.
    """
    dtype = _DTYPES.get(resolve_precision(precision))
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)
