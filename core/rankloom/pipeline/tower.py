"""Towers: the encoders and the fusion of one side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from rankloom.protocols import Encoded, Features

__all__ = ["Tower"]


def _callable(component: Any) -> Callable[..., Encoded]:
    """A module is called, so that its hooks run; a plain component has ``forward`` alone."""
    call: Callable[..., Encoded] = (
        component if isinstance(component, nn.Module) else component.forward
    )
    return call


class Tower(nn.Module):
    """Runs the encoders of one side and fuses what is present.

    Args:
        encoders: By name; history encoders among them on the query side.
        fusion: Needed as soon as there are two encoders.
        tokens: Carry tokens and their mask beside the vectors: the fusion's, or else those of the
            first encoder that has any. Off, they are dropped, which spares memory.
    """

    def __init__(
        self, encoders: Mapping[str, Any], fusion: Any | None, tokens: bool = False
    ) -> None:
        super().__init__()
        self.names = list(encoders)
        self.encoders: dict[str, Any] = dict(encoders)
        self.fusion = fusion
        self.tokens = tokens
        for name, encoder in encoders.items():
            if isinstance(encoder, nn.Module):
                self.add_module(f"encoder_{name}", encoder)
        single = self.encoders[self.names[0]].dim if self.names else 0
        self.dim: int = int(fusion.dim if fusion is not None else single)

    def fuse(
        self, encoded: Mapping[str, Encoded], present: Mapping[str, Tensor]
    ) -> tuple[Encoded, Tensor]:
        """Fuse encodings of ``n`` rows.

        Returns:
            Vectors ``[n, dim]`` (zero where nothing is present), with tokens ``[n, t, d]`` and
            their mask where the tower carries them, and ``[n]`` bool: anything is present.
        """
        first = self.names[0]
        anything = present[first]
        for name in self.names[1:]:
            anything = anything | present[name]
        fused = encoded[first]
        if self.fusion is not None:
            fused = _callable(self.fusion)(encoded, present)
        if self.tokens and fused.tokens is None:
            fused = self._with_tokens(fused, encoded, present)
        elif not self.tokens:
            fused = fused.without_tokens()
        return fused.where(anything), anything

    def _with_tokens(
        self, fused: Encoded, encoded: Mapping[str, Encoded], present: Mapping[str, Tensor]
    ) -> Encoded:
        for name in self.names:
            part = encoded[name]
            if part.tokens is not None and part.mask is not None:
                mask = part.mask & present[name][:, None]
                return replace(fused, tokens=part.tokens, mask=mask)
        return fused.without_tokens()

    def run(self, name: str, features: Features) -> tuple[Encoded, Tensor]:
        """Run one encoder; returns its encoding and ``[n]`` bool where it is present."""
        encoded = _callable(self.encoders[name])(features)
        present = features.present
        if encoded.tokens is None and encoded.mask is not None:  # id dropout masks rows
            present = present & encoded.mask[:, 0]
        return encoded, present

    def encode(self, features: Mapping[str, Features]) -> tuple[Encoded, Tensor]:
        """Encode ``n`` rows of raw-field features; returns encodings and ``[n]`` presence."""
        pairs = {name: self.run(name, features[name]) for name in self.names}
        return self.fuse(
            {name: pair[0] for name, pair in pairs.items()},
            {name: pair[1] for name, pair in pairs.items()},
        )
