"""Sources and splits: where data comes from and how it is divided."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from rankloom.data.dataset import Dataset, SplitResult

__all__ = ["Source", "Split"]


@runtime_checkable
class Source(Protocol):
    """Loads a data set. Built as ``Class(config, build)``; paths start at ``build.base_dir``."""

    def load(self) -> Dataset:
        """Read and check everything; all interactions are positive until config decides."""
        ...


@runtime_checkable
class Split(Protocol):
    """Divides a data set. Built as ``Class(config, build)``."""

    def split(self, dataset: Dataset, seed: int) -> SplitResult:
        """Divide; the same seed gives the same parts."""
        ...
