"""Attention of a learned query over encodings, or over their tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rankloom.nn.seeds import seeded
from rankloom.protocols import Build, Encoded
from rankloom_plugins.fusion.masking import drop_modalities, linear, norm, stack_present
from rankloom_plugins.fusion.plugin import AttentionConfig

__all__ = ["AttentionFusion"]


class AttentionFusion(nn.Module):
    """A learned query attends over what is present: ``x_m = W_m norm(v_m) + type_m``.

    The first layer's query is learned; every further layer asks again with what the one before
    found, which is added to its answer. Over tokens, every token of an encoding stands for itself
    with its encoding's type; an encoding without tokens, or a row without a real one, stands with
    its vector. What is masked has weight exactly 0, and a row with nothing present is zero.

    Args:
        config: Settings.
        build: ``dims`` names the encodings and their widths.

    Attributes:
        needs: ``"tokens"`` where tokens are read: core then hands whole histories over, also in
            training, instead of one position at a time.
    """

    def __init__(self, config: AttentionConfig, build: Build) -> None:
        super().__init__()
        self.names = list(build.dims)
        self.dim = config.dim
        self.over = config.over
        self.needs = config.over
        self.modality_dropout = config.modality_dropout
        generator = seeded(build.seed, "attention", *self.names)
        self.norms = nn.ModuleList(norm(w, config.normalize) for w in build.dims.values())
        # No bias: the type embedding is one.
        self.maps = nn.ModuleList(
            _map(width, config.dim, generator) for width in build.dims.values()
        )
        self.types = nn.Parameter(_normal(len(self.names), config.dim, generator=generator))
        self.query = nn.Parameter(_normal(config.dim, generator=generator))
        self.layers = nn.ModuleList(
            _Layer(config.dim, config.heads, first, generator)
            for first in [True, *[False] * (config.layers - 1)]
        )

    def forward(self, encoded: Mapping[str, Encoded], present: Mapping[str, Tensor]) -> Encoded:
        """Fuse: vectors ``[n, dim]``, zero where nothing is present."""
        shown = stack_present(present, self.names)
        if self.training and self.modality_dropout > 0:
            shown = drop_modalities(shown, self.modality_dropout)
        keys, mask = [], []
        for column, name in enumerate(self.names):
            values, real = self._values(encoded[name], shown[:, column])
            # where and not a product: a masked NaN must not get through, forwards or backwards
            values = torch.where(real[..., None], values, torch.zeros_like(values))
            keys.append(self.maps[column](self.norms[column](values)) + self.types[column])
            mask.append(real)
        over, there = torch.cat(keys, dim=1), torch.cat(mask, dim=1)
        found = self.query.expand(len(shown), -1)
        for layer in self.layers:
            found = layer(found, over, there)
        return Encoded(torch.where(there.any(1)[:, None], found, torch.zeros_like(found)))

    def _values(self, encoded: Encoded, shown: Tensor) -> tuple[Tensor, Tensor]:
        """What one encoding offers ``[n, t, d]``, and which of it is there ``[n, t]``."""
        vector = encoded.vectors[:, None]
        if self.over == "vectors" or encoded.tokens is None or encoded.mask is None:
            return vector, shown[:, None]
        real = encoded.mask & shown[:, None]
        instead = shown & ~real.any(1)
        tokens = encoded.tokens.to(vector.dtype)
        return torch.cat([tokens, vector], dim=1), torch.cat([real, instead[:, None]], dim=1)


class _Layer(nn.Module):
    """Multi-head attention of one query a row.

    Args:
        dim: Width.
        heads: How many; they share ``dim`` evenly.
        first: The query is learned: it needs no map, and is not added to the answer.
        generator: Draws the weights.
    """

    def __init__(self, dim: int, heads: int, first: bool, generator: torch.Generator) -> None:
        super().__init__()
        self.heads = heads
        self.first = first
        # No bias of keys: the softmax would take it out again.
        self.keys = _map(dim, dim, generator)
        self.values = _map(dim, dim, generator)
        self.out = linear(dim, dim, generator)
        if not first:
            self.ask = nn.Sequential(nn.LayerNorm(dim), _map(dim, dim, generator))

    def forward(self, query: Tensor, over: Tensor, mask: Tensor) -> Tensor:
        """Attend.

        Args:
            query: ``[n, dim]``.
            over: ``[n, t, dim]``.
            mask: ``[n, t]`` bool, True where something is there.

        Returns:
            ``[n, dim]``; a row with nothing there is finite.
        """
        n, t, dim = over.shape
        asked = query if self.first else self.ask(query)
        width = dim // self.heads
        split = (n, t, self.heads, width)
        keys, values = self.keys(over).view(split), self.values(over).view(split)
        logits = torch.einsum("nhd,nthd->nht", asked.reshape(n, self.heads, width), keys)
        # A finite filler: a row of -inf alone would be NaN, forwards and backwards.
        filler = torch.finfo(logits.dtype).min
        hidden = (logits / math.sqrt(width)).masked_fill(~mask[:, None], filler)
        weights = hidden.softmax(2) * mask[:, None]
        answer: Tensor = self.out(torch.einsum("nht,nthd->nhd", weights, values).reshape(n, dim))
        return answer if self.first else query + answer


def _map(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A linear map without bias that keeps the scale of what comes in."""
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=inputs**-0.5, generator=generator)
    return layer


def _normal(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.empty(shape).normal_(std=0.02, generator=generator)
