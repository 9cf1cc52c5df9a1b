"""External ids to contiguous indices and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from torch import Tensor

__all__ = ["IdMap"]


class IdMap:
    """Ids in the order in which they were first added; indices are never reused.

    Ids are strings inside; numbers are accepted and compared by their decimal text, so ``7`` and
    ``"7"`` are the same id.
    """

    def __init__(self, ids: Iterable[object] = ()) -> None:
        self._ids: list[str] = []
        self._index: dict[str, int] = {}
        self.extend(ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, key: object) -> bool:
        return normal_id(key) in self._index

    @property
    def ids(self) -> Sequence[str]:
        """All ids by index."""
        return self._ids

    def extend(self, ids: Iterable[object]) -> None:
        """Append ids that are not there yet."""
        for raw in ids:
            key = normal_id(raw)
            if key not in self._index:
                self._index[key] = len(self._ids)
                self._ids.append(key)

    def index(self, key: object) -> int:
        """Return the index of an id, or -1."""
        return self._index.get(normal_id(key), -1)

    def indices(self, keys: Iterable[object]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return the indices of ids, -1 where unknown."""
        get = self._index.get
        return np.fromiter((get(normal_id(key), -1) for key in keys), dtype=np.int64)

    def external(self, indices: Tensor | Iterable[int]) -> list[str]:
        """Return the ids of indices."""
        return [self._ids[int(i)] for i in indices]


def normal_id(key: object) -> str:
    """Return an id as text; ``7``, ``7.0`` and ``"7"`` are the same id."""
    if isinstance(key, str):
        return key
    if isinstance(key, float) and key.is_integer():
        return str(int(key))
    return str(key)
