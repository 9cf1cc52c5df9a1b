"""Checks of encoders of a query's history."""

from __future__ import annotations

import torch

from rankloom.protocols import Features, History
from rankloom.testing.compare import require, require_same
from rankloom.testing.drivers import history_features
from rankloom.testing.encoder_checks import require_encoded
from rankloom.testing.subject import Subject

__all__ = [
    "check_history_causal",
    "check_history_collate",
    "check_history_empty",
    "check_history_padding_invariant",
    "check_history_shapes",
]


@torch.no_grad()
def check_history_shapes(subject: Subject) -> None:
    """Vectors are ``[q, dim]``; a causal encoder adds tokens, the last of which is the vector."""
    component, world = subject.fitted(), subject.world
    features = history_features(component, world)
    encoded = component.forward(features)
    require_encoded(encoded, len(world.queries), component.dim)
    if not subject.spec.causal:
        return
    require(encoded.tokens is not None, "a causal encoder returned no tokens")
    mask = encoded.mask
    last = (mask * torch.arange(1, mask.shape[1] + 1)).argmax(1)
    there = mask.any(1)
    rows = torch.arange(len(last))
    require_same(
        {"vectors": encoded.vectors[there]},
        {"vectors": encoded.tokens[rows, last][there]},
        "the vector and the token of the last event",
    )


@torch.no_grad()
def check_history_collate(subject: Subject) -> None:
    """``items``, ``at``, ``values``, ``times``, ``mask`` are ``[q, t]`` and belong together."""
    component, history = subject.fitted(), subject.world.queries.history
    features = component.collate(history)
    wanted = {"items", "at", "values", "times", "mask"}
    require(
        wanted <= features.tensors.keys(), f"collate lacks {sorted(wanted - set(features.tensors))}"
    )
    items, at, mask = features["items"], features["at"], features["mask"]
    for name in wanted:
        require(features[name].shape == items.shape, f"{name} and items differ in shape")
    require(mask.dtype == torch.bool, f"the mask is {mask.dtype}, not bool")
    require(bool((items[~mask] == -1).all()), "items are not -1 at padding")
    own = history.items.values[at[mask]]
    require(bool((own == items[mask]).all()), "items are not the history's items at 'at'")
    require(bool((features.present == (history.lengths > 0)).all()), "present is not 'has events'")


@torch.no_grad()
def check_history_padding_invariant(subject: Subject) -> None:
    """What stands in the vectors at padding changes nothing."""
    component = subject.fitted()
    features = history_features(component, subject.world)
    padding = ~features["mask"][..., None]
    noise = torch.where(padding, torch.full_like(features["vectors"], 9.0), features["vectors"])
    other = Features({**features.tensors, "vectors": noise}, features.present)
    require_same(
        {"vectors": component.forward(features).vectors[features.present]},
        {"vectors": component.forward(other).vectors[features.present]},
        "zeros and other numbers at padding",
    )


@torch.no_grad()
def check_history_empty(subject: Subject) -> None:
    """Empty histories, and a batch of nothing else, give finite vectors and are not present."""
    component = subject.fitted()
    try:
        features = component.collate(History.empty(2))
        width = subject.world.item_vectors.shape[1]
        vectors = torch.zeros(*features["mask"].shape, width)
        ready = Features({**features.tensors, "vectors": vectors}, features.present)
        out = component.forward(ready).vectors
    except Exception as error:
        raise AssertionError(f"empty histories: {type(error).__name__}: {error}") from error
    require(not bool(features.present.any()), "an empty history is said to be present")
    require(bool(out.isfinite().all()), "an empty history gives a vector that is not finite")


@torch.no_grad()
def check_history_causal(subject: Subject) -> None:
    """A token sees its own and earlier events only."""
    if not subject.spec.causal:
        return
    component = subject.fitted()
    features = history_features(component, subject.world)
    tokens = component.forward(features).tokens
    vectors = features["vectors"].clone()
    vectors[:, 2:] = -vectors[:, 2:]
    later = Features({**features.tensors, "vectors": vectors}, features.present)
    changed = component.forward(later).tokens
    real = features["mask"][:, :2, None]
    require_same(
        {"tokens": tokens[:, :2] * real},
        {"tokens": changed[:, :2] * real},
        "the first two tokens before and after later events were changed",
    )
