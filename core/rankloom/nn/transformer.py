"""Transformer blocks for sequences, lean enough for small models on a CPU.

``nn.TransformerEncoder`` is avoided on purpose: its nested-tensor fast path changes shapes between
training and inference and warns about masks. Sequences are padded on the right, so a causal mask
alone keeps padding out of every real position and no key mask has to be built.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Activation", "TransformerBlock", "TransformerStack", "last_real"]

Activation = Literal["relu", "gelu"]


class TransformerBlock(nn.Module):
    """Self-attention and a feed-forward layer, each with a residual connection.

    Dropout acts on both branches' outputs and inside the feed-forward layer, not on the attention
    weights: the fused attention kernel stays usable while training on a CPU.

    Args:
        dim: Width.
        heads: Attention heads; must divide ``dim``.
        hidden: Width of the feed-forward layer.
        dropout: Share of activations dropped while training.
        norm_first: Normalise before each branch (pre-norm) instead of after it.
        activation: Of the feed-forward layer.

    Raises:
        ValueError: ``heads`` does not divide ``dim``.
    """

    def __init__(
        self,
        dim: int,
        heads: int = 1,
        hidden: int | None = None,
        dropout: float = 0.0,
        norm_first: bool = True,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(
                f"A transformer block of width {dim} cannot have {heads} heads: {dim} is not a "
                f"multiple of {heads}. Choose heads or dim so that it is."
            )
        hidden = dim if hidden is None else hidden
        self.heads = heads
        self.norm_first = norm_first
        self.attention_norm = nn.LayerNorm(dim)
        self.feed_norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.up = nn.Linear(dim, hidden)
        self.down = nn.Linear(hidden, dim)
        self.dropout = nn.Dropout(dropout)
        self.activation = F.gelu if activation == "gelu" else F.relu

    def forward(self, x: Tensor, *, causal: bool = True, mask: Tensor | None = None) -> Tensor:
        """Transform ``[n, t, dim]``.

        Args:
            x: The sequence.
            causal: Each position sees itself and earlier ones only.
            mask: ``[n, t]`` bool, True at positions that may be attended to; only without
                ``causal``, which needs none under right padding.

        Returns:
            ``[n, t, dim]``.
        """
        keys = None if mask is None or causal else mask[:, None, None, :]
        if self.norm_first:
            x = x + self._attend(self.attention_norm(x), causal, keys)
            return x + self._feed(self.feed_norm(x))
        x = self.attention_norm(x + self._attend(x, causal, keys))
        y: Tensor = self.feed_norm(x + self._feed(x))
        return y

    def _attend(self, x: Tensor, causal: bool, keys: Tensor | None) -> Tensor:
        n, t, dim = x.shape
        # [3, n, heads, t, dim / heads] views; contiguity is the kernel's own matter.
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=keys, is_causal=causal)
        y: Tensor = self.dropout(self.out(mixed.transpose(1, 2).reshape(n, t, dim)))
        return y

    def _feed(self, x: Tensor) -> Tensor:
        y: Tensor = self.dropout(self.down(self.dropout(self.activation(self.up(x)))))
        return y


class TransformerStack(nn.Module):
    """Blocks one after another; pre-norm stacks end in a normalisation.

    Args:
        dim: Width.
        blocks: Number of blocks.
        heads: Attention heads of each block.
        hidden: Width of the feed-forward layers.
        dropout: See :class:`TransformerBlock`.
        norm_first: See :class:`TransformerBlock`.
        activation: See :class:`TransformerBlock`.
    """

    def __init__(
        self,
        dim: int,
        blocks: int = 2,
        heads: int = 1,
        hidden: int | None = None,
        dropout: float = 0.0,
        norm_first: bool = True,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TransformerBlock(dim, heads, hidden, dropout, norm_first, activation)
            for _ in range(blocks)
        )
        self.norm: nn.Module = nn.LayerNorm(dim) if norm_first else nn.Identity()

    def forward(self, x: Tensor, *, causal: bool = True, mask: Tensor | None = None) -> Tensor:
        """Transform ``[n, t, dim]``; arguments as in :meth:`TransformerBlock.forward`."""
        for block in self.blocks:
            x = block(x, causal=causal, mask=mask)
        y: Tensor = self.norm(x)
        return y


def last_real(tokens: Tensor, mask: Tensor) -> Tensor:
    """Pick the last real position of right-padded ``tokens [n, t, d]``: ``[n, d]``.

    Rows without a real position yield zeros.
    """
    if tokens.shape[0] == 1:
        length = mask.tolist()[0].count(True)
        return tokens[:, length - 1] if length else torch.zeros_like(tokens[:, 0])
    lengths = mask.sum(1)
    rows = torch.arange(tokens.shape[0], device=tokens.device)
    picked = tokens[rows, (lengths - 1).clamp(min=0)]
    return torch.where((lengths > 0)[:, None], picked, torch.zeros_like(picked))
