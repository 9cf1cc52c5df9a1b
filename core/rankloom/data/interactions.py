"""The log of interactions as columns of tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["Interactions"]


@dataclass(frozen=True)
class Interactions:
    """``n`` interactions over contiguous indices.

    Attributes:
        users: ``[n]`` int64.
        items: ``[n]`` int64.
        values: ``[n]`` float32, NaN where an event has no value.
        times: ``[n]`` int64 seconds since 1970; all 0 where the data has no time.
        rows: ``[n]`` int64 row in the source, which breaks ties in time.
        timed: False where the data has no time column: order is then the source's.
    """

    users: Tensor
    items: Tensor
    values: Tensor
    times: Tensor
    rows: Tensor
    timed: bool = True

    def __len__(self) -> int:
        return int(self.users.shape[0])

    def select(self, index: Tensor) -> Interactions:
        """Return the rows ``index`` (int64 positions or a bool mask)."""
        return Interactions(
            self.users[index],
            self.items[index],
            self.values[index],
            self.times[index],
            self.rows[index],
            self.timed,
        )

    def followed_by(self, more: Interactions) -> Interactions:
        """Return these rows and then those of ``more``."""
        return Interactions(
            torch.cat([self.users, more.users]),
            torch.cat([self.items, more.items]),
            torch.cat([self.values, more.values]),
            torch.cat([self.times, more.times]),
            torch.cat([self.rows, more.rows]),
            self.timed,
        )

    def order(self) -> Tensor:
        """``[n]`` positions sorted by (user, time, source row)."""
        keys = (self.rows.numpy(), self.times.numpy(), self.users.numpy())
        return torch.from_numpy(np.lexsort(keys))
