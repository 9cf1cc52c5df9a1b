"""How both encoders crop and pad a history."""

from __future__ import annotations

from torch import Tensor

from rankloom.protocols import Features, History

__all__ = ["collate_history"]


def collate_history(history: History, max_length: int) -> Features:
    """Crop to the last ``max_length`` events and pad on the right.

    Returns:
        Features with ``items`` (-1 at padding), ``at``, ``values`` (NaN at padding), ``times``
        (0 at padding) and ``mask``, all ``[q, t]``; ``present`` is False for an empty history.
    """
    at, mask = history.padded(max_length)
    tensors = {
        "items": _gather(history.items.values, at, mask, -1),
        "at": at,
        "values": _gather(history.values, at, mask, float("nan")),
        "times": _gather(history.times, at, mask, 0),
        "mask": mask,
    }
    return Features(tensors, mask.any(1))


def _gather(flat: Tensor, at: Tensor, mask: Tensor, filler: float) -> Tensor:
    if flat.shape[0] == 0:  # nothing to index when every history is empty
        return flat.new_full(at.shape, filler)
    return flat[at].masked_fill(~mask, filler)
