"""Comparing what components take and give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Outputs", "require", "require_same", "tensors_in"]

#: Named results of one call.
Outputs = Mapping[str, Tensor]


def require(condition: bool, message: str) -> None:
    """Raise ``AssertionError(message)`` unless the condition holds; ``python -O`` keeps it."""
    if not condition:
        raise AssertionError(message)


def require_same(
    left: Outputs, right: Outputs, what: str, *, rtol: float = 1e-4, atol: float = 1e-5
) -> None:
    """Require equal names, shapes and (NaN being equal to NaN) nearly equal values."""
    require(left.keys() == right.keys(), f"{what}: {sorted(left)} against {sorted(right)}")
    for name, a in left.items():
        b = right[name]
        require(
            a.shape == b.shape, f"{what}: {name} has shape {tuple(a.shape)} and {tuple(b.shape)}"
        )
        a, b = a.double(), b.double()
        near = torch.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
        if not bool(near.all()):
            place = tuple(int(i) for i in (~near).nonzero()[0])
            raise AssertionError(
                f"{what}: {name}{list(place)} is {float(a[place]):.6g} and "
                f"{float(b[place]):.6g} ({int((~near).sum())} of {near.numel()} differ)"
            )


def tensors_in(value: Any, path: str = "") -> dict[str, Tensor]:
    """Return every tensor inside dataclasses, mappings and sequences, by where it is."""
    if isinstance(value, Tensor):
        return {path or "value": value}
    parts: dict[str, Any] = {}
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
    elif isinstance(value, Mapping):
        parts = {str(key): part for key, part in value.items()}
    elif isinstance(value, Sequence) and not isinstance(value, str):
        parts = {str(index): part for index, part in enumerate(value)}
    found: dict[str, Tensor] = {}
    for name, part in parts.items():
        found |= tensors_in(part, f"{path}.{name}" if path else name)
    return found
