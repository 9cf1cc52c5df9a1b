"""SASRec: self-attentive sequential recommendation (Kang and McAuley, 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rankloom.errors import ConfigError
from rankloom.nn.transformer import TransformerStack, last_real
from rankloom.protocols import Build, Encoded, Features, History
from rankloom_plugins.sequence.collation import collate_history
from rankloom_plugins.sequence.plugin import SASRecConfig

__all__ = ["SASRecEncoder"]


class SASRecEncoder(nn.Module):
    """Causal transformer over item vectors with learned positions.

    Positions count from the start of the cropped window. Padding stands on the right, where the
    causal mask hides it from every real position.

    Args:
        config: Settings.
        build: ``dims["items"]`` is the width of the item vectors and of the queries.

    Raises:
        ConfigError: ``heads`` does not divide the width of the item vectors.
    """

    def __init__(self, config: SASRecConfig, build: Build) -> None:
        super().__init__()
        self.dim = build.dims["items"]
        if self.dim % config.heads:
            raise ConfigError(
                f"sasrec: heads = {config.heads} does not divide the width of the item vectors, "
                f"{self.dim}. Set heads to a divisor of {self.dim}, or change the item tower's dim."
            )
        self.max_length = config.max_length
        self.positions = nn.Parameter(torch.empty(config.max_length, self.dim))
        self.dropout = nn.Dropout(config.dropout)
        self.stack = TransformerStack(
            self.dim,
            config.blocks,
            config.heads,
            config.feedforward * self.dim,
            config.dropout,
            config.norm_first,
            config.activation,
        )
        generator = torch.Generator().manual_seed(build.seed)
        nn.init.normal_(self.positions, std=0.02, generator=generator)

    def collate(self, values: History) -> Features:
        """Crop to ``max_length`` and pad on the right; ``[q, t]`` tensors."""
        return collate_history(values, self.max_length)

    def forward(self, features: Features) -> Encoded:
        """Encode ``vectors [q, t, dim]``.

        Returns:
            The query after the last event ``[q, dim]`` (zero for an empty history), and as tokens
            the query after each event ``[q, t, dim]`` with their mask.
        """
        mask = features["mask"]
        x = features["vectors"] + self.positions[: mask.shape[1]]
        tokens: Tensor = self.stack(self.dropout(x))
        return Encoded(last_real(tokens, mask), tokens, mask)
