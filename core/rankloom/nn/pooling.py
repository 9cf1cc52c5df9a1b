"""Token vectors to one vector."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

__all__ = ["Pooling", "pool"]

Pooling = Literal["mean", "cls", "max", "last"]


def pool(tokens: Tensor, mask: Tensor, how: Pooling) -> Tensor:
    """Pool real tokens.

    Args:
        tokens: ``[n, t, d]``.
        mask: ``[n, t]`` bool or 0/1, True at real tokens.
        how: ``mean`` over real tokens, ``cls`` (the first token), ``max`` over real tokens, or
            ``last``: the last real token, which a causal model lets see all others.

    Returns:
        ``[n, d]``; zero for a row without a real token.
    """
    real = mask.bool()
    if how == "cls":
        pooled = tokens[:, 0]
    elif how == "last":
        # The last real one, wherever padding stands.
        places = torch.arange(real.shape[1], device=real.device)
        last = torch.where(real, places, places.new_zeros(())).amax(1)
        pooled = tokens[torch.arange(len(tokens), device=tokens.device), last]
    elif how == "max":
        pooled = tokens.masked_fill(~real[:, :, None], -torch.inf).amax(1)
    else:
        weights = real.to(tokens.dtype)
        pooled = torch.einsum("nt,ntd->nd", weights, tokens)
        pooled = pooled / weights.sum(1, keepdim=True).clamp(min=1)
    return torch.where(real.any(1)[:, None], pooled, torch.zeros_like(pooled))
