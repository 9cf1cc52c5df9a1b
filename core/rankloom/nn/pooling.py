"""Token vectors to one vector."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

__all__ = ["Pooling", "pool"]

Pooling = Literal["mean", "cls", "max"]


def pool(tokens: Tensor, mask: Tensor, how: Pooling) -> Tensor:
    """Pool real tokens.

    Args:
        tokens: ``[n, t, d]``.
        mask: ``[n, t]`` bool or 0/1, True at real tokens.
        how: ``mean`` over real tokens, ``cls`` (the first token), or ``max`` over real tokens.

    Returns:
        ``[n, d]``; zero for a row without a real token.
    """
    real = mask.bool()
    if how == "cls":
        pooled = tokens[:, 0]
    elif how == "max":
        pooled = tokens.masked_fill(~real[:, :, None], -torch.inf).amax(1)
    else:
        weights = real.to(tokens.dtype)
        pooled = torch.einsum("nt,ntd->nd", weights, tokens)
        pooled = pooled / weights.sum(1, keepdim=True).clamp(min=1)
    return torch.where(real.any(1)[:, None], pooled, torch.zeros_like(pooled))
