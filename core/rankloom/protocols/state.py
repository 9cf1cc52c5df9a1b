"""What a component leaves in a bundle: tensors and JSON, never a pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

__all__ = ["State", "Stateful"]


@dataclass(frozen=True)
class State:
    """State of one component.

    Attributes:
        tensors: Saved as safetensors.
        meta: Saved as JSON (vocabularies, bins, weights of a blend).
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Stateful(Protocol):
    """Optional on any component.

    A component that is an ``nn.Module`` without these methods is saved by its ``state_dict``. One
    that has both is saved by both; ``import_state`` runs first, so that it can size its buffers.
    """

    def export_state(self) -> State:
        """Return everything ``fit``, ``prepare`` and ``calibrate`` learned."""
        ...

    def import_state(self, state: State) -> None:
        """Take it back."""
        ...
