"""Scores of different scorers on one scale."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["combine", "moments", "standardise"]


def standardise(values: Tensor, allowed: Tensor) -> Tensor:
    """Return z-scores per row.

    Mean and standard deviation (of the population) are taken over the entries that are allowed and
    finite. A row without spread becomes 0.

    Args:
        values: ``[q, n]``; NaN where unknown.
        allowed: ``[q, n]`` bool.

    Returns:
        ``[q, n]`` float32, NaN where the value is unknown.
    """
    values = values.float()
    mean, std = moments(values, allowed)
    z = (values - mean) / std
    return z.masked_fill(~values.isfinite(), torch.nan)


def moments(values: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation ``[q, 1]`` of the allowed, finite entries of each row.

    A row without spread has an infinite deviation: whatever is divided by it becomes 0.
    """
    values = values.float()
    counted = values.isfinite() & allowed
    count = counted.sum(1, keepdim=True).clamp(min=1)
    mean = values.masked_fill(~counted, 0.0).sum(1, keepdim=True) / count
    centred = (values - mean).masked_fill(~counted, 0.0)
    std = (centred.square().sum(1, keepdim=True) / count).sqrt()
    # Rounding leaves a little spread in a constant row; blowing it up would invent an order.
    return mean, std.masked_fill(std <= 1e-6 * mean.abs(), torch.inf)


def combine(z: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of parts over those that know an entry.

    ``sum_p w_p z_p / sum_p w_p``, both sums over the parts with a number there. Where all of these
    have weight 0 they count alike; where there are none the result is NaN.

    Args:
        z: ``[parts, q, n]``, NaN where a part does not know.
        weights: ``[parts]``, none negative.

    Returns:
        ``[q, n]``.
    """
    shape = (-1, 1, 1)
    known = ~z.isnan()
    filled = z.masked_fill(~known, 0.0)
    weight = weights.to(z).view(shape)
    total = (known * weight).sum(0)
    mixed = (filled * weight).sum(0) / total
    if bool((total > 0).all()):
        return mixed
    # 0 / 0 is NaN, as it should be, where no part knows the entry.
    return torch.where(total > 0, mixed, filled.sum(0) / known.sum(0))
