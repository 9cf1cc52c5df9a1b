"""Spread and samples of a blend, out of those of its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rankloom.protocols import Scores
from rankloom_plugins.scorers.standardise import combine, moments

__all__ = ["uncertainty"]


def uncertainty(
    parts: Sequence[Scores], z: Tensor, allowed: Tensor, weights: Tensor
) -> tuple[Tensor | None, Callable[[torch.Generator], Tensor] | None]:
    """Return the blend's ``std [q, n]`` and ``sample``, None where no part has one.

    A part without a spread is taken as certain. Samples are standardised by the mean and deviation
    of the part's scores, so that they scatter around its z-scores.

    Args:
        parts: What the parts answered.
        z: ``[parts, q, n]`` their z-scores, NaN where a part does not know.
        allowed: ``[q, n]`` bool: what means and deviations are taken over.
        weights: ``[parts]``.
    """
    scales = [moments(part.values, allowed) for part in parts]
    std = None
    if any(part.std is not None for part in parts):
        spread = [
            torch.zeros_like(z[0]) if part.std is None else part.std.float() / deviation
            for part, (_, deviation) in zip(parts, scales, strict=True)
        ]
        known = ~z.isnan()
        # sum_p (w_p s_p)^2 / (sum_p w_p)^2: the weights of the parts that know the entry.
        total = (known * weights.to(z).view(-1, 1, 1)).sum(0)
        squares = (torch.stack(spread) * weights.to(z).view(-1, 1, 1)).square()
        std = (squares.masked_fill(~known, 0.0).sum(0).sqrt() / total).masked_fill(
            ~known.any(0), torch.nan
        )
    if all(part.sample is None for part in parts):
        return std, None

    def sample(generator: torch.Generator) -> Tensor:
        drawn = []
        for part, own, (mean, deviation) in zip(parts, z, scales, strict=True):
            if part.sample is None:
                drawn.append(own)
            else:
                values = (part.sample(generator).float() - mean) / deviation
                drawn.append(values.masked_fill(own.isnan(), torch.nan))
        return combine(torch.stack(drawn), weights)

    return std, sample
