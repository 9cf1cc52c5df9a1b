"""Encoders: one field's raw values to vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from rankloom.protocols.features import Encoded, Features
from rankloom.protocols.history import History

__all__ = ["Encoder", "HistoryEncoder"]


@runtime_checkable
class Encoder(Protocol):
    """One field's raw values → Features → Encoded.

    Build as ``Class(config, build)``; construction is light, weights load in ``load()`` (optional).
    A plain ``nn.Module`` where it has parameters. Optional: ``prepare(train)`` (vocabularies, from
    the training universe only), ``load()``, ``fingerprint() -> str`` (weights and settings; makes
    ``precompute`` results cacheable), ``content(value)`` (what the cache tells values apart by,
    such as the bytes of a file), ``collate_query(values)`` (where ``reuse`` encodes queries
    otherwise than items), ``fit_features(features)`` (what is learned from the precomputed features
    of training items, such as a whitening), ``expensive`` (True: never run over the whole catalog
    in a training step), ``on_bad_item``, ``export_state()`` / ``import_state()``.
    """

    dim: int
    """Width of the vectors; known after construction."""

    def collate(self, values: Sequence[Any]) -> Features:
        """Turn ``n`` raw values (None: missing) into tensors; CPU, safe in a worker."""
        ...

    def precompute(self, features: Features) -> Features:
        """Run what never trains; the result is cached and is what ``forward`` receives.

        Returns the input where everything trains.
        """
        ...

    def forward(self, features: Features) -> Encoded:
        """Run what trains: vectors ``[n, dim]``; tokens ``[n, t, dim]`` with mask, or None."""
        ...


@runtime_checkable
class HistoryEncoder(Protocol):
    """Encodes a query's history over whatever vectors the item tower yields.

    ``collate`` crops; core then adds ``vectors [q, t, d]`` of the collated ``items`` (zero where an
    item has no vector) before ``forward``, unless the encoder says ``reads_vectors = False``.
    """

    dim: int

    def collate(self, values: History) -> Features:
        """Crop and pad.

        Returns:
            Features with ``items [q, t]`` int64 (-1 at padding and pseudo-items), ``at [q, t]``
            int64 positions into the flat history, ``values``, ``times``, ``mask [q, t]`` bool;
            ``present`` is False for an empty history.
        """
        ...

    def forward(self, features: Features) -> Encoded:
        """Return the query vectors ``[q, dim]`` (from the last event).

        A causal encoder also returns ``tokens [q, t, dim]``, one query a position, which sees that
        position and earlier ones only, with its ``mask``.
        """
        ...
