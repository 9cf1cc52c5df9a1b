"""How both encoders crop and pad a history."""

from __future__ import annotations

from rankloom.protocols import Features, History

__all__ = ["collate_history"]


def collate_history(history: History, max_length: int) -> Features:
    """Crop to the last ``max_length`` events and pad on the right.

    Returns:
        Features with ``items`` (-1 at padding), ``at``, ``values`` (NaN at padding), ``times``
        (0 at padding) and ``mask``, all ``[q, t]``; ``present`` is False for an empty history.
    """
    cropped = history.crop(max_length)
    return Features(cropped, cropped["mask"].any(1))
