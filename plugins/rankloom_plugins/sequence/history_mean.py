"""Mean of a history's item vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rankloom.nn.transformer import last_real
from rankloom.protocols import Build, Encoded, Features, History
from rankloom_plugins.sequence.collation import collate_history
from rankloom_plugins.sequence.plugin import HistoryMeanConfig

__all__ = ["HistoryMeanEncoder"]


class HistoryMeanEncoder(nn.Module):
    """Mean over real positions, optionally weighted by centred values and projected.

    A running mean is causal: the means after every event come out of one pass.

    Args:
        config: Settings.
        build: ``dims["items"]`` is the width of the item vectors and of the queries.
    """

    def __init__(self, config: HistoryMeanConfig, build: Build) -> None:
        super().__init__()
        self.dim = build.dims["items"]
        self.max_length = config.max_length
        self.weight_by_value = config.weight_by_value
        self.project: nn.Module = nn.Identity()
        if config.project:
            linear = nn.Linear(self.dim, self.dim)
            generator = torch.Generator().manual_seed(build.seed)
            # Starts near the identity: an untrained projection must not undo the item space.
            nn.init.normal_(linear.weight, std=0.02, generator=generator)
            with torch.no_grad():
                linear.weight += torch.eye(self.dim)
            nn.init.zeros_(linear.bias)
            self.project = linear

    def collate(self, values: History) -> Features:
        """Crop to ``max_length`` and pad on the right; ``[q, t]`` tensors."""
        return collate_history(values, self.max_length)

    def forward(self, features: Features) -> Encoded:
        """Encode ``vectors [q, t, dim]``.

        The weighted mean divides by the number of events, as centred weights add up to zero.

        Returns:
            The (weighted) mean of the whole history ``[q, dim]``, zero for an empty one, and as
            tokens the mean after each event ``[q, t, dim]`` with their mask.
        """
        mask = features["mask"]
        vectors = features["vectors"] * mask[..., None]
        count = mask.cumsum(1).clamp(min=1)[..., None].to(vectors.dtype)
        sums = vectors.cumsum(1)
        if self.weight_by_value:
            values, known = _known(features["values"], mask)
            # sum (r - mean) v over the first t events, for every t at once
            mean = values.cumsum(1) / known.cumsum(1).clamp(min=1)
            weighted = (vectors * values[..., None].to(vectors.dtype)).cumsum(1)
            counted = (vectors * known[..., None]).cumsum(1)
            sums = weighted - mean[..., None].to(vectors.dtype) * counted
        tokens = self.project(sums / count) * mask[..., None]
        return Encoded(last_real(tokens, mask), tokens, mask)


def _known(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Values with 0 at padding and where an event has none, and where they are known."""
    known = mask & ~values.isnan()
    return values.masked_fill(~known, 0.0), known
