"""Ragged rows as two flat tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["RaggedIndices"]


@dataclass(frozen=True)
class RaggedIndices:
    """One list of indices a row, without padding.

    Attributes:
        values: ``[total]`` int64, rows one after another.
        offsets: ``[n + 1]`` int64; row ``i`` is ``values[offsets[i]:offsets[i + 1]]``.
    """

    values: Tensor
    offsets: Tensor

    def __len__(self) -> int:
        return int(self.offsets.shape[0]) - 1

    def __getitem__(self, row: int) -> Tensor:
        return self.values[int(self.offsets[row]) : int(self.offsets[row + 1])]

    @property
    def lengths(self) -> Tensor:
        """``[n]`` int64."""
        return self.offsets.diff()

    def row_ids(self) -> Tensor:
        """``[total]`` int64: the row each value belongs to."""
        if len(self) == 1:
            return torch.zeros_like(self.values)
        rows = torch.arange(len(self), device=self.values.device)
        return torch.repeat_interleave(rows, self.lengths)

    def select(self, rows: Tensor) -> RaggedIndices:
        """Return the given rows, in that order."""
        positions, offsets = _positions(self.offsets, rows)
        return RaggedIndices(self.values[positions], offsets)

    def to(self, device: torch.device | str) -> RaggedIndices:
        """Return the rows on ``device``."""
        return RaggedIndices(self.values.to(device), self.offsets.to(device))

    @staticmethod
    def from_lists(rows: Sequence[Sequence[int] | Tensor]) -> RaggedIndices:
        """Build from Python lists or 1-d tensors."""
        parts = [torch.as_tensor(row, dtype=torch.long) for row in rows]
        lengths = torch.tensor([0, *(len(part) for part in parts)], dtype=torch.long)
        values = torch.cat(parts) if parts else torch.empty(0, dtype=torch.long)
        return RaggedIndices(values, lengths.cumsum(0))

    @staticmethod
    def cat_rows(parts: Sequence[RaggedIndices]) -> RaggedIndices:
        """Join row by row: row ``i`` of the result holds row ``i`` of every part."""
        if len(parts) == 1:
            return parts[0]
        rows = torch.cat([part.row_ids() for part in parts])
        values = torch.cat([part.values for part in parts])
        order = torch.sort(rows, stable=True).indices
        lengths = torch.stack([part.lengths for part in parts]).sum(0)
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        return RaggedIndices(values[order], offsets)


def _positions(offsets: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Flat positions of ``rows`` in a ragged layout, and the offsets of the selection."""
    lengths = offsets[rows + 1] - offsets[rows]
    out = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    total = int(out[-1])
    shift = torch.repeat_interleave(offsets[rows] - out[:-1], lengths)
    return torch.arange(total, device=offsets.device) + shift, out
