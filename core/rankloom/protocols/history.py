"""Histories: what each query's user did before, whole and ragged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rankloom.protocols.features import Features
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
        lookup: Returns features by encoder name and item indices (set by core for a scorer that
            declares ``encoders:``).
    """

    items: RaggedIndices
    values: Tensor
    times: Tensor
    rows: Tensor
    pseudo: dict[str, Tensor] | None = None
    lookup: Callable[[str, Tensor], Features] | None = None

    def __len__(self) -> int:
        return len(self.items)

    @property
    def lengths(self) -> Tensor:
        """``[q]`` int64."""
        return self.items.lengths

    def features(self, name: str) -> Features:
        """Return the features ``[total, ...]`` of the events' items, flat like ``items.values``.

        Pad them like the events, with :meth:`padded`. Pseudo-items are missing.

        Raises:
            LookupError: The batch carries no raw fields or no encoder has that name.
        """
        if self.lookup is None:
            raise LookupError(
                f"This history carries no raw fields, so not {name!r} either; a scorer that reads "
                "them declares them under 'encoders:'."
            )
        return self.lookup(name, self.items.values)

    def select(self, rows: Tensor) -> History:
        """Return the histories of ``rows``, in that order."""
        at, offsets = _positions(self.items.offsets, rows)
        pseudo = None
        if self.pseudo:
            own = self.items.values == -1
            rank = (own.cumsum(0) - 1)[at][own[at]]
            pseudo = {name: vectors[rank] for name, vectors in self.pseudo.items()}
        return History(
            RaggedIndices(self.items.values[at], offsets),
            self.values[at],
            self.times[at],
            self.rows[at],
            pseudo,
            self.lookup,
        )

    def with_lookup(self, lookup: Callable[[str, Tensor], Features]) -> History:
        """Return the same histories with features of their items."""
        return replace(self, lookup=lookup)

    def to(self, device: torch.device | str) -> History:
        """Return the histories on ``device``."""
        pseudo = self.pseudo and {name: v.to(device) for name, v in self.pseudo.items()}
        return History(
            self.items.to(device),
            self.values.to(device),
            self.times.to(device),
            self.rows.to(device),
            pseudo,
            self.lookup,
        )

    def padded(self, max_length: int, *, side: str = "right") -> tuple[Tensor, Tensor]:
        """Crop to the last ``max_length`` events and pad.

        Args:
            max_length: Events kept of each history.
            side: Where padding goes, ``"right"`` or ``"left"``.

        Returns:
            Positions into the flat tensors ``[q, t]`` int64 (0 at padding) and a mask ``[q, t]``,
            True at events; ``t`` is the longest cropped history, at least 1. Read flat tensors at
            them with :meth:`take`, which holds for a batch without any event too.
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
        return at.masked_fill(~mask, 0), mask

    def _crop_one(self, start: int, end: int) -> dict[str, Tensor]:
        """Crop a single history to some events: it needs no padding."""
        at = torch.arange(start, end, device=self.values.device).unsqueeze(0)
        return {
            "items": self.items.values[None, start:end],
            "at": at,
            "values": self.values[None, start:end],
            "times": self.times[None, start:end],
            "mask": torch.ones_like(at, dtype=torch.bool),
        }

    def crop(self, max_length: int, *, side: str = "right") -> dict[str, Tensor]:
        """Crop to the last ``max_length`` events and pad; what a ``collate`` needs.

        Works for a batch of nothing but empty histories too, of which no position can be read. The
        tensors are to be read only: those of a single history are views of it.

        Args:
            max_length: Events kept of each history.
            side: Where padding goes, ``"right"`` or ``"left"``.

        Returns:
            ``items`` (-1 at padding and pseudo-items), ``at`` (positions into the flat tensors, 0
            at padding), ``values`` (NaN at padding), ``times`` (0 at padding) and ``mask``, all
            ``[q, t]`` with ``t`` at least 1.
        """
        if len(self) == 1:
            start, end = self.items.offsets.tolist()
            start = max(start, end - max_length)
            if start < end:
                return self._crop_one(start, end)
        at, mask = self.padded(max_length, side=side)
        return {
            "items": self.take(self.items.values, at, mask, -1),
            "at": at,
            "values": self.take(self.values, at, mask, float("nan")),
            "times": self.take(self.times, at, mask, 0),
            "mask": mask,
        }

    @staticmethod
    def take(flat: Tensor, at: Tensor, mask: Tensor, filler: float) -> Tensor:
        """Pad a flat tensor ``[total, ...]`` of these events.

        Args:
            flat: One entry an event.
            at: ``[q, t]`` positions from :meth:`padded`.
            mask: ``[q, t]`` bool from :meth:`padded`.
            filler: What stands at padding.

        Returns:
            ``[q, t, ...]``.
        """
        if not flat.shape[0]:
            return flat.new_full((*at.shape, *flat.shape[1:]), filler)
        shown = mask.view(*mask.shape, *(1 for _ in flat.shape[1:]))
        return flat[at].masked_fill(~shown, filler)

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
