"""Sum of encodings."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rankloom.errors import ConfigError
from rankloom.protocols import Build, Encoded
from rankloom_plugins.fusion.masking import drop_modalities, stack_present, visible
from rankloom_plugins.fusion.plugin import SumConfig

__all__ = ["SumFusion"]


class SumFusion(nn.Module):
    """``x_1 + … + x_m``, with zeros for what is masked.

    Under an inner product of two sums every encoding of a query meets every encoding of an item,
    which is a factorisation machine's cross part (Rendle, 2010).

    Args:
        config: Settings.
        build: ``dims`` names the encodings and their widths, which must be equal.

    Raises:
        ConfigError: The widths differ.
    """

    def __init__(self, config: SumConfig, build: Build) -> None:
        super().__init__()
        self.names = list(build.dims)
        if len(set(build.dims.values())) > 1:
            widths = ", ".join(f"{name}: {width}" for name, width in build.dims.items())
            raise ConfigError(
                f"The fusion 'sum' adds up encodings of one width, but they have {widths}. Give "
                f"them the same 'dim', or use 'gated' or 'concat', which map them to one."
            )
        self.dim = next(iter(build.dims.values()), 0)
        self.modality_dropout = config.modality_dropout

    def forward(self, encoded: Mapping[str, Encoded], present: Mapping[str, Tensor]) -> Encoded:
        """Fuse: vectors ``[n, dim]``, zero where nothing is present."""
        shown = stack_present(present, self.names)
        if self.training and self.modality_dropout > 0:
            shown = drop_modalities(shown, self.modality_dropout)
        return Encoded(torch.stack(visible(encoded, shown, self.names)).sum(0))
