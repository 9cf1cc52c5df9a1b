"""CLAP's feature extractor draws from NumPy's global generator; here it always draws the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import numpy as np

__all__ = ["repeatable"]

_lock = Lock()


@contextmanager
def repeatable() -> Iterator[None]:
    """Seed NumPy's global generator for a moment, and put it back as it was."""
    with _lock:
        state = np.random.get_state()
        np.random.seed(0)
        try:
            yield
        finally:
            np.random.set_state(state)
