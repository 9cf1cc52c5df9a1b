"""Fusions: several encodings of one item or query to one vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor

from rankloom.protocols.features import Encoded

__all__ = ["Fusion"]


@runtime_checkable
class Fusion(Protocol):
    """Several encodings → one vector; a missing modality is masked, never an error.

    Built with ``build.dims``: width of each child by encoder name. A fusion that reads the tokens
    of encodings says ``needs = "tokens"``: a query tower's is then given whole histories in
    training too, and not one position at a time.
    """

    dim: int

    def forward(self, encoded: Mapping[str, Encoded], present: Mapping[str, Tensor]) -> Encoded:
        """Fuse ``n`` encodings.

        Args:
            encoded: By encoder name, vectors ``[n, d_i]``, with tokens where the encoder has any.
            present: By encoder name, ``[n]`` bool.

        Returns:
            Vectors ``[n, dim]``; a row with nothing present is finite. The value of a masked
            encoding must not change the result, its parameters still take part (× 0).
        """
        ...
