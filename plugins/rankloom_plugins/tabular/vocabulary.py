"""Categories by number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rankloom.data.ids import normal_id
from rankloom_plugins.tabular.rows import is_missing

__all__ = ["Vocabulary", "categories"]


def categories(value: Any) -> list[str]:
    """Return a value's distinct categories as text; a plain value is a list of one.

    ``7``, ``7.0`` and ``"7"`` are the same category.
    """
    parts = value if isinstance(value, list | tuple) else [value]
    return list(dict.fromkeys(normal_id(part) for part in parts if not is_missing(part)))


class Vocabulary:
    """Known categories, numbered from 1; 0 stands for padding and for unknown ones.

    Args:
        names: In the order of their numbers.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = list(names)
        self._numbers = {name: number for number, name in enumerate(self.names, start=1)}

    def __len__(self) -> int:
        return len(self.names)

    @staticmethod
    def learn(values: Iterable[Any], min_count: int) -> Vocabulary:
        """Count categories over rows; the order is alphabetical, so that runs agree."""
        counts = Counter(name for value in values for name in categories(value))
        return Vocabulary(sorted(name for name, count in counts.items() if count >= min_count))

    def numbers(self, value: Any) -> list[int]:
        """Return the numbers of a value's known categories."""
        get = self._numbers.get
        return [number for name in categories(value) if (number := get(name)) is not None]
