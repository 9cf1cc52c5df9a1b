"""Histories: what each query's user did before, whole and ragged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rankloom.protocols.ragged import RaggedIndices, _positions

__all__ = ["History"]


@dataclass(frozen=True)
class History:
    """Interactions before each query, oldest first (stable in (time, source row)).

    Attributes:
        items: Item indices; -1 stands for a pseudo-item (free text), which index-based scorers
            skip.
        values: ``[total]`` float32 value of each event (NaN where there is none).
        times: ``[total]`` int64 seconds since 1970 (0 where the data has no time).
        rows: ``[total]`` int64 source row, -1 where the event came with the request.
        pseudo: ``{model: [p, d]}`` vectors of the pseudo-items, in the order in which -1 occurs.
    """

    items: RaggedIndices
    values: Tensor
    times: Tensor
    rows: Tensor
    pseudo: dict[str, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.items)

    @property
    def lengths(self) -> Tensor:
        """``[q]`` int64."""
        return self.items.lengths

    def select(self, rows: Tensor) -> History:
        """Return the histories of ``rows``, in that order (without pseudo-items' vectors)."""
        at, offsets = _positions(self.items.offsets, rows)
        return History(
            RaggedIndices(self.items.values[at], offsets),
            self.values[at],
            self.times[at],
            self.rows[at],
        )

    def to(self, device: torch.device | str) -> History:
        """Return the histories on ``device``."""
        pseudo = self.pseudo and {name: v.to(device) for name, v in self.pseudo.items()}
        return History(
            self.items.to(device),
            self.values.to(device),
            self.times.to(device),
            self.rows.to(device),
            pseudo,
        )

    def padded(self, max_length: int, *, side: str = "right") -> tuple[Tensor, Tensor]:
        """Crop to the last ``max_length`` events and pad.

        Args:
            max_length: Events kept of each history.
            side: Where padding goes, ``"right"`` or ``"left"``.

        Returns:
            Positions into the flat tensors ``[q, t]`` int64 (0 at padding) and a mask ``[q, t]``,
            True at events; ``t`` is the longest cropped history, at least 1.
        """
        kept = self.lengths.clamp(max=max_length)
        width = max(int(kept.max()) if len(self) else 0, 1)
        steps = torch.arange(width, device=kept.device)
        if side == "right":
            mask = steps < kept[:, None]
            start = self.items.offsets[1:] - kept
            at = start[:, None] + steps
        else:
            mask = steps >= width - kept[:, None]
            at = self.items.offsets[1:, None] - width + steps
        return torch.where(mask, at, torch.zeros_like(at)), mask

    @staticmethod
    def empty(n: int) -> History:
        """Return ``n`` empty histories."""
        none = torch.empty(0, dtype=torch.long)
        return History(
            RaggedIndices(none, torch.zeros(n + 1, dtype=torch.long)),
            torch.empty(0),
            none,
            none,
        )
