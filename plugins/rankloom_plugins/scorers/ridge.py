"""Ridge regression on blocks of features whose weights are still to be chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

__all__ = ["MOST_ROWS", "BlockRidge", "Kernel", "RidgeMatrix", "RidgeSettings"]

#: ``linear``: ``x'y``; ``quadratic``: ``x'y + (x'y)²/4``, which knows of pairs of features.
Kernel = Literal["linear", "quadratic"]

#: A quadratic kernel keeps a square matrix of the rows; it is for so many at most (64 MB).
MOST_ROWS = 4096


@dataclass(frozen=True)
class RidgeSettings:
    """How a ridge regression is regularised.

    Attributes:
        l2: Strength, in units of the mean squared length of a row.
        weights: By block; those not named count 1. Their proportions alone matter.
        kernel: How alike two rows are.
        damping: Targets that vary much are divided by their spread to this power.
    """

    l2: float
    weights: Mapping[str, float] = field(default_factory=dict)
    kernel: Kernel = "linear"
    damping: float = 0.0

    def shares(self, names: list[str]) -> dict[str, float]:
        """Return the weights of the blocks, summing to 1."""
        weights = {name: self.weights.get(name, 1.0) for name in names}
        total = sum(weights.values())
        return {name: weight / total for name, weight in weights.items()}


@dataclass(frozen=True)
class RidgeMatrix:
    """What is left of a regression: how targets of its rows add up to those of a new row.

    Attributes:
        maps: By block, ``[u, d_b]``, for the linear kernel; else empty.
        inverse: ``[u, u]``, for other kernels.
        rows: By block, ``[u, d_b]``: the rows' features, for other kernels.
        shares: Weights of the blocks, summing to 1.
    """

    maps: Mapping[str, Tensor]
    inverse: Tensor | None = None
    rows: Mapping[str, Tensor] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)

    def operator(self, new: Mapping[str, Tensor]) -> Tensor:
        """Return ``[u, c]`` for ``c`` new rows."""
        if self.inverse is None:
            return torch.as_tensor(sum(map_ @ new[name].T for name, map_ in self.maps.items()))
        cross = sum(self.shares[name] * (rows @ new[name].T) for name, rows in self.rows.items())
        return self.inverse @ _quadratic(torch.as_tensor(cross))


class BlockRidge:
    """Solves ``(K + λ I)^-1`` for any block weights, from products made once.

    With the linear kernel the smaller of two equal forms is used: over rows, or over features.

    Args:
        blocks: By name, ``[u, d_b]``, all of one type.

    Attributes:
        x: ``[u, d]``: the blocks side by side.
    """

    def __init__(self, blocks: Mapping[str, Tensor]) -> None:
        self.blocks = dict(blocks)
        self.names = list(blocks)
        self.widths = [block.shape[1] for block in self.blocks.values()]
        self.n_rows = next(iter(self.blocks.values())).shape[0]
        self.by_features = sum(self.widths) <= self.n_rows
        self.x = torch.cat(list(self.blocks.values()), dim=1)
        if self.by_features:
            self._gram = self.x.T @ self.x
        self._products: dict[str, Tensor] = {}

    def operator(self, settings: RidgeSettings, new: Mapping[str, Tensor]) -> Tensor:
        """Return ``[u, c]``: how targets of the rows add up to those of ``c`` new rows.

        Args:
            settings: Strength, weights and kernel.
            new: Blocks of the new rows.
        """
        if self.linear_in_features(settings):
            return self.x @ self.weights(settings, new)
        shares = settings.shares(self.names)
        cross = sum(
            shares[name] * (self.blocks[name] @ new[name].T) for name in self.names if shares[name]
        )
        cross = torch.as_tensor(cross)
        return self._solve(settings, _quadratic(cross) if settings.kernel != "linear" else cross)

    def linear_in_features(self, settings: RidgeSettings) -> bool:
        """Whether :meth:`weights` is the cheaper way to :meth:`operator`."""
        return self.by_features and settings.kernel == "linear"

    def weights(self, settings: RidgeSettings, new: Mapping[str, Tensor]) -> Tensor:
        """Return ``[d, c]``: times the rows' features ``x`` it is the operator."""
        return self._weights(settings, torch.cat([new[name] for name in self.names], dim=1).T)

    def matrix(self, settings: RidgeSettings, scale: Tensor) -> RidgeMatrix:
        """Return the regression as float32.

        Args:
            settings: Strength, weights and kernel.
            scale: ``[u]``: factors of the rows' targets.
        """
        if settings.kernel == "linear":
            whole = (scale[:, None] * self._map(settings)).float()
            parts = torch.split(whole, self.widths, dim=1)
            return RidgeMatrix(dict(zip(self.names, parts, strict=True)))
        eye = torch.eye(self.n_rows, dtype=self.x.dtype)
        inverse = (scale[:, None] * self._solve(settings, eye)).float()
        rows = {name: block.float() for name, block in self.blocks.items()}
        return RidgeMatrix({}, inverse, rows, settings.shares(self.names))

    def _map(self, settings: RidgeSettings) -> Tensor:
        """``[u, d]``; times a new row's features it is that row's column of ``operator``."""
        if self.by_features:
            return self.x @ self._weights(settings, torch.eye(self.x.shape[1]).to(self.x))
        return self._solve(settings, self.x * self._scale(settings))

    def _scale(self, settings: RidgeSettings) -> Tensor:
        """``[d]``: each feature's weight, its block's share."""
        shares = settings.shares(self.names)
        parts = [
            self.x.new_full((width,), shares[name])
            for name, width in zip(self.names, self.widths, strict=True)
        ]
        return torch.cat(parts)

    def _weights(self, settings: RidgeSettings, right: Tensor) -> Tensor:
        """Return ``W^½ (W^½ X'X W^½ + λ I)^-1 W^½ right``, ``[d, c]`` for ``right [d, c]``."""
        root = self._scale(settings).sqrt()[:, None]
        gram = self._gram * root * root.T
        gram.diagonal().add_(settings.l2)
        return root * torch.cholesky_solve(root * right, torch.linalg.cholesky(gram))

    def _solve(self, settings: RidgeSettings, right: Tensor) -> Tensor:
        if not self._products:
            self._products = {name: block @ block.T for name, block in self.blocks.items()}
        shares = settings.shares(self.names)
        kernel = sum(share * self._products[name] for name, share in shares.items() if share)
        kernel = torch.as_tensor(kernel).clone()
        if settings.kernel != "linear":
            kernel = _quadratic(kernel)
        kernel.diagonal().add_(settings.l2)
        return torch.cholesky_solve(right, torch.linalg.cholesky(kernel))


def _quadratic(products: Tensor) -> Tensor:
    """Return ``x'y + (x'y)²/4``: ``(1 + x'y/2)² - 1``, the constant left to the mean."""
    return products + products.square() / 4
