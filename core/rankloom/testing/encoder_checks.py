"""Checks of encoders of fields."""

from __future__ import annotations

from typing import Any

import torch

from rankloom.protocols import Encoded, Features
from rankloom.testing.compare import require, require_same
from rankloom.testing.subject import Subject
from rankloom.testing.world import COLD

__all__ = [
    "check_encoder_empty_batch",
    "check_encoder_fingerprint",
    "check_encoder_ignores_cold_items",
    "check_encoder_missing_values",
    "check_encoder_padding_invariant",
    "check_encoder_precompute_by_row",
    "check_encoder_shapes",
    "require_encoded",
]


def require_encoded(encoded: Any, n: int, dim: int) -> None:
    """Require the shapes and types of :class:`~rankloom.protocols.Encoded`."""
    require(isinstance(encoded, Encoded), f"forward returned {type(encoded).__name__}, not Encoded")
    shape = tuple(encoded.vectors.shape)
    require(shape == (n, dim), f"vectors have shape {shape}, [n, dim] is ({n}, {dim})")
    require(encoded.vectors.is_floating_point(), f"vectors are {encoded.vectors.dtype}")
    require(bool(encoded.vectors.isfinite().all()), "vectors are not finite")
    if encoded.mask is None:
        require(encoded.tokens is None, "tokens come without their mask")
        return
    require(encoded.mask.dtype == torch.bool, f"the mask is {encoded.mask.dtype}, not bool")
    require(encoded.mask.shape[0] == n, f"the mask has {encoded.mask.shape[0]} rows for {n} values")
    if encoded.tokens is not None:
        expected = (*encoded.mask.shape, dim)
        shape = tuple(encoded.tokens.shape)
        require(shape == expected, f"tokens have shape {shape}, [n, t, dim] is {expected}")


@torch.no_grad()
def check_encoder_shapes(subject: Subject) -> None:
    """Features have one row a value; vectors are ``[n, dim]``; tokens come with their mask."""
    component, values = subject.fitted(), subject.values()
    features = component.collate(values)
    _require_features(features, len(values), "collate")
    ready = component.precompute(features)
    _require_features(ready, len(values), "precompute")
    require_encoded(component.forward(ready), len(values), component.dim)


@torch.no_grad()
def check_encoder_missing_values(subject: Subject) -> None:
    """A missing value is masked, not an error, and gives a finite vector."""
    component = subject.fitted()
    features = component.precompute(component.collate([None, *subject.values()]))
    require(not bool(features.present[0]), "a missing value (None) is said to be present")
    require(bool(features.present.any()), "no value is said to be present")
    vectors = component.forward(features).vectors
    require(bool(vectors.isfinite().all()), "a missing value gives a vector that is not finite")


@torch.no_grad()
def check_encoder_padding_invariant(subject: Subject) -> None:
    """Features collated apart and concatenated (padded with zeros) give the same vectors."""
    component, values = subject.fitted(), subject.values()[:6]
    together = component.precompute(component.collate(values))
    apart = Features.cat([component.precompute(component.collate([value])) for value in values])
    expected = {"vectors": component.forward(together).vectors, "present": together.present}
    found = {"vectors": component.forward(apart).vectors, "present": apart.present}
    require_same(expected, found, "collated together and apart", atol=1e-4)


@torch.no_grad()
def check_encoder_empty_batch(subject: Subject) -> None:
    """No values give no vectors."""
    component = subject.fitted()
    try:
        encoded = component.forward(component.precompute(component.collate([])))
    except Exception as error:
        raise AssertionError(f"no values: {type(error).__name__}: {error}") from error
    shape = tuple(encoded.vectors.shape)
    require(shape == (0, component.dim), f"no values give vectors of shape {shape}")


@torch.no_grad()
def check_encoder_precompute_by_row(subject: Subject) -> None:
    """What is cached for a value does not depend on its neighbours."""
    component = subject.fitted()
    features = component.collate(subject.values())
    rows = torch.arange(len(features) - 1, -1, -2)
    whole = component.precompute(features).select(rows)
    part = component.precompute(features.select(rows))
    require_same(
        {**whole.tensors, "present": whole.present},
        {**part.tensors, "present": part.present},
        "precomputed with others and without",
        atol=1e-4,
    )


@torch.no_grad()
def check_encoder_ignores_cold_items(subject: Subject) -> None:
    """Vocabularies, bins and weights come from the training universe: cold items change nothing."""
    component = subject.fitted()
    values = subject.values()
    warm = [value for row, value in enumerate(values) if row not in COLD]
    other = subject.learned(subject.world.without_cold_values())
    left = component.forward(component.precompute(component.collate(warm)))
    right = other.forward(other.precompute(other.collate(warm)))
    require_same(
        {"vectors": left.vectors},
        {"vectors": right.vectors},
        "vectors of warm items after prepare with one and with another cold item",
    )


def check_encoder_fingerprint(subject: Subject) -> None:
    """A fingerprint is text, the same for the same weights; what it caches is ``vector [n, d]``."""
    component = subject.fitted()
    if not callable(getattr(component, "fingerprint", None)):
        return
    mine, other = component.fingerprint(), subject.learned().fingerprint()
    require(isinstance(mine, str) and bool(mine), f"fingerprint() returned {mine!r}")
    require(mine == other, f"two fingerprints of the same encoder: {mine!r} and {other!r}")
    ready = component.precompute(component.collate(subject.values())).tensors
    shapes = {name: tuple(tensor.shape) for name, tensor in ready.items()}
    cacheable = list(ready) == ["vector"] and ready["vector"].dim() == 2
    require(cacheable, f"with a fingerprint precompute yields 'vector' [n, d] alone, not {shapes}")


def _require_features(features: Any, n: int, made_by: str) -> None:
    require(isinstance(features, Features), f"{made_by} returned {type(features).__name__}")
    require(features.present.dtype == torch.bool, f"{made_by}: present is not bool")
    shape = tuple(features.present.shape)
    require(shape == (n,), f"{made_by}: present has shape {shape} for {n} values")
    for name, tensor in features.tensors.items():
        rows = tensor.shape[0] if tensor.dim() else "no"
        require(rows == n, f"{made_by}: {name} has {rows} rows for {n} values")
        require(tensor.device.type == "cpu", f"{made_by}: {name} is on {tensor.device}")
