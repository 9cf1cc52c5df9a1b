"""Ridge regression on blocks of features whose weights are still to be chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

__all__ = ["BlockRidge", "RidgeSettings"]


@dataclass(frozen=True)
class RidgeSettings:
    """How a ridge regression is regularised.

    Attributes:
        l2: Strength, in units of the mean squared length of a row.
        weights: By block; those not named count 1. Their proportions alone matter.
    """

    l2: float
    weights: Mapping[str, float] = field(default_factory=dict)

    def shares(self, names: list[str]) -> dict[str, float]:
        """Return the weights of the blocks, summing to 1."""
        weights = {name: self.weights.get(name, 1.0) for name in names}
        total = sum(weights.values())
        return {name: weight / total for name, weight in weights.items()}


class BlockRidge:
    """Solves ``(X W X' + λ I)^-1`` for any block weights ``W``, from products made once.

    The smaller of the two equal forms is used: over rows, or over features.

    Args:
        blocks: By name, ``[u, d_b]``, all of one type.
    """

    def __init__(self, blocks: Mapping[str, Tensor]) -> None:
        self.blocks = dict(blocks)
        self.names = list(blocks)
        self.widths = [block.shape[1] for block in self.blocks.values()]
        rows = next(iter(self.blocks.values())).shape[0]
        self.by_features = sum(self.widths) <= rows
        self._x = torch.cat(list(self.blocks.values()), dim=1)
        if self.by_features:
            self._gram = self._x.T @ self._x
        else:
            self._kernels = {name: block @ block.T for name, block in self.blocks.items()}

    def operator(self, settings: RidgeSettings, new: Mapping[str, Tensor]) -> Tensor:
        """Return ``[u, c]``: how targets of the rows add up to those of ``c`` new rows.

        Args:
            settings: Strength and weights.
            new: Blocks of the new rows.
        """
        shares = settings.shares(self.names)
        if self.by_features:
            contents = torch.cat([new[name] for name in self.names], dim=1)
            return self.matrix(settings) @ contents.T
        cross = sum(
            shares[name] * (self.blocks[name] @ new[name].T) for name in self.names if shares[name]
        )
        return self._solve(shares, settings.l2, torch.as_tensor(cross))

    def matrix(self, settings: RidgeSettings) -> Tensor:
        """Return ``[u, d]``; times a new row's features it is that row's column of ``operator``."""
        shares = settings.shares(self.names)
        scale = torch.cat(
            [
                self._x.new_full((width,), shares[name])
                for name, width in zip(self.names, self.widths, strict=True)
            ]
        )
        if not self.by_features:
            return self._solve(shares, settings.l2, self._x * scale)
        root = scale.sqrt()
        gram = self._gram * root[:, None] * root
        gram.diagonal().add_(settings.l2)
        return self._x @ (
            root[:, None] * torch.cholesky_solve(torch.diag(root), torch.linalg.cholesky(gram))
        )

    def _solve(self, shares: Mapping[str, float], l2: float, right: Tensor) -> Tensor:
        kernel = sum(share * self._kernels[name] for name, share in shares.items() if share)
        kernel = torch.as_tensor(kernel).clone()
        kernel.diagonal().add_(l2)
        return torch.cholesky_solve(right, torch.linalg.cholesky(kernel))
