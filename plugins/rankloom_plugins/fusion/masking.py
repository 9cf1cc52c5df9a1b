"""What the fusions do before they fuse: hide what is missing, drop some of the rest."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rankloom.protocols import Encoded

__all__ = ["drop_modalities", "linear", "norm", "stack_present", "visible"]


def stack_present(present: Mapping[str, Tensor], names: list[str]) -> Tensor:
    """``[n, m]`` bool in the order of ``names``."""
    return torch.stack([present[name] for name in names], dim=1)


def drop_modalities(present: Tensor, share: float) -> Tensor:
    """Hide each present modality with chance ``share``, but never all of a row's.

    Args:
        present: ``[n, m]`` bool.
        share: Chance of each.

    Returns:
        ``[n, m]`` bool; a row that would lose everything keeps everything.
    """
    kept = present & (torch.rand(present.shape, device=present.device) >= share)
    return torch.where(kept.any(1, keepdim=True), kept, present)


def visible(encoded: Mapping[str, Encoded], present: Tensor, names: list[str]) -> list[Tensor]:
    """Vectors of each modality, zero where it is masked.

    ``where`` and not a product: a masked NaN or infinity must not get through. Gradients of masked
    rows are zero, but every encoder stays in the graph, which several processes need.
    """
    zeroed = []
    for column, name in enumerate(names):
        vectors = encoded[name].vectors
        zeroed.append(torch.where(present[:, column, None], vectors, torch.zeros_like(vectors)))
    return zeroed


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A linear map with small weights, so that training starts from nearly equal scores."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=0.02, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


def norm(width: int, wanted: bool) -> nn.Module:
    """Layer normalisation; none where it is not wanted or would turn the one number into 0."""
    return nn.LayerNorm(width) if wanted and width > 1 else nn.Identity()
