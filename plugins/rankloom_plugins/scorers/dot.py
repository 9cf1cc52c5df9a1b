"""Inner products of query and item vectors, with optional biases."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankloom.errors import ConfigError
from rankloom.protocols import Build, CandidateBatch, QueryBatch, Scores, TrainData
from rankloom_plugins.scorers.plugin import DotConfig

__all__ = ["Dot"]

#: A trained temperature stops here: logits of a cosine beyond 100 overflow half precision (CLIP).
MAX_SCALE = 100.0


class Dot(nn.Module):
    """``q . i / temperature + user bias + item bias + global bias``.

    Args:
        config: Settings.
        build: ``dims["query"]`` and ``dims["items"]``, where known, must be equal; ``n_users`` and
            ``n_items`` size the bias tables.

    Raises:
        ConfigError: The towers' dimensions differ.
    """

    def __init__(self, config: DotConfig, build: Build) -> None:
        super().__init__()
        _check_dims(build)
        self.config = config
        self.user_bias = _bias_table(build.n_users) if config.user_bias else None
        self.item_bias = _bias_table(build.n_items) if config.item_bias else None
        self.global_bias = nn.Parameter(torch.zeros(())) if config.global_bias else None
        log_scale = -math.log(config.temperature)
        self.max_log_scale = max(math.log(MAX_SCALE), log_scale)
        learnable = config.learnable_temperature
        self.log_scale = nn.Parameter(torch.tensor(log_scale)) if learnable else None

    def prepare(self, train: TrainData) -> None:
        """Start the global bias at the mean of the training values, where there are any."""
        values = train.interactions.values
        given = values[~values.isnan()]
        if self.global_bias is not None and len(given):
            with torch.no_grad():
                self.global_bias.fill_(float(given.double().mean()))

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        """Score candidates ``[q, n]`` (scale ``logit``)."""
        if queries.encoded is None or candidates.encoded is None:
            raise ConfigError(
                "The scorer 'dot' needs query and item vectors; it belongs under a model with "
                "'items:' and 'queries:' encoders."
            )
        left, right = queries.encoded.vectors, candidates.encoded.vectors
        if self.config.cosine:
            left, right = F.normalize(left, dim=-1), F.normalize(right, dim=-1)
        if self.log_scale is not None or self.config.temperature != 1.0:
            # Scaling the queries costs q*d instead of q*n multiplications.
            left = left * self._scale()
        if right.dim() == 2:
            values = left @ right.T
        else:
            values = torch.bmm(right, left[:, :, None]).squeeze(-1)
        return Scores(self._biased(values, queries, candidates), scale="logit")

    def _scale(self) -> Tensor | float:
        if self.log_scale is not None:
            return self.log_scale.clamp(max=self.max_log_scale).exp()
        return 1.0 / self.config.temperature

    def _biased(self, values: Tensor, queries: QueryBatch, candidates: CandidateBatch) -> Tensor:
        if self.user_bias is not None:
            values = values + _bias(self.user_bias, queries.users)[:, None]
        if self.item_bias is not None:
            values = values + _bias(self.item_bias, candidates.items)
        if self.global_bias is not None:
            values = values + self.global_bias
        return values


def _bias_table(n: int) -> nn.Embedding:
    """Return ``n`` zero biases behind slot 0, which stays 0 and serves the unknown."""
    table = nn.Embedding(n + 1, 1, padding_idx=0)
    nn.init.zeros_(table.weight)
    return table


def _bias(table: nn.Embedding, indices: Tensor) -> Tensor:
    """Return biases of ``indices`` (any shape); -1 and indices beyond the table have 0."""
    slots = indices + 1
    found: Tensor = table(slots.masked_fill(slots >= table.num_embeddings, 0))
    return found.squeeze(-1)


def _check_dims(build: Build) -> None:
    query, items = build.dims.get("query"), build.dims.get("items")
    if query is not None and items is not None and query != items:
        raise ConfigError(
            f"The scorer 'dot' needs query and item vectors of one width, but queries have {query} "
            f"and items have {items}. Give both towers the same 'dim' (a fusion sets the width of "
            f"its tower), or use a scorer that projects."
        )
