"""What items are, as numbers: the vectors of a model's item encoders, block by block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rankloom.protocols import State

__all__ = ["ContentSpace"]

Parts = Mapping[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class _Scaling:
    """How one block is put on the common scale.

    Attributes:
        columns: ``[d]`` int64: those that differ between training items.
        mean: ``[d]`` float64.
        size: Root of the mean squared length of a training item's row.
    """

    columns: Tensor
    mean: Tensor
    size: float


class ContentSpace:
    """Puts blocks of vectors on one scale: centred, mean squared length 1 over training items.

    Args:
        scaling: By block.
    """

    def __init__(self, scaling: Mapping[str, _Scaling] | None = None) -> None:
        self.scaling = dict(scaling or {})

    @staticmethod
    def learn(parts: Parts, universe: Tensor) -> ContentSpace:
        """Take means and scales over training items; columns that never differ are left out.

        Args:
            parts: By encoder, vectors ``[n_items, d]`` and ``[n_items]`` bool where present.
            universe: ``[u]`` int64 training items.
        """
        scaling = {}
        for name, (vectors, present) in parts.items():
            rows = vectors[universe][present[universe]].double()
            mean = rows.mean(0) if len(rows) else rows.new_zeros(vectors.shape[1])
            spread = (rows - mean).square()
            columns = (spread.sum(0) > 1e-12).nonzero()[:, 0]
            size = float(spread.sum(1).mean().sqrt()) if len(columns) else 1.0
            scaling[name] = _Scaling(columns, mean[columns], size)
        return ContentSpace(scaling)

    def blocks(self, parts: Parts, rows: Tensor) -> dict[str, Tensor]:
        """Return scaled blocks ``[n, d]`` float64; what is missing lies at the mean (zero)."""
        out = {}
        for name, scale in self.scaling.items():
            vectors, present = parts[name]
            moved = (vectors[rows][:, scale.columns].double() - scale.mean) / scale.size
            out[name] = torch.where(present[rows][:, None], moved, torch.zeros_like(moved))
        return out

    def export_state(self) -> State:
        """Return columns, means and scales."""
        tensors = {f"mean.{name}": scale.mean.float() for name, scale in self.scaling.items()}
        tensors |= {f"columns.{name}": scale.columns for name, scale in self.scaling.items()}
        return State(tensors, {"sizes": {name: one.size for name, one in self.scaling.items()}})

    @staticmethod
    def from_state(state: State) -> ContentSpace:
        """Take them back."""
        found = state.tensors
        return ContentSpace(
            {
                name: _Scaling(found[f"columns.{name}"], found[f"mean.{name}"].double(), size)
                for name, size in dict(state.meta["sizes"]).items()
            }
        )
