"""Tokenised texts, and batches of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["TextBatch", "TextFeed"]


@dataclass(frozen=True)
class TextBatch:
    """Some texts.

    Attributes:
        texts: ``[b]`` int64: their places in the catalog's list.
        ids: ``[b, t]`` int64, padded on the right.
        mask: ``[b, t]`` int64, 1 at real tokens.
    """

    texts: Tensor
    ids: Tensor
    mask: Tensor

    def to(self, device: torch.device | str, **_: Any) -> TextBatch:
        """Return the batch on ``device``."""
        return TextBatch(self.texts.to(device), self.ids.to(device), self.mask.to(device))


class TextFeed:
    """Random access to some of the tokenised texts.

    Args:
        ids: ``[n, t]`` int64 of all texts.
        mask: ``[n, t]`` int64.
        texts: Which of them, in what order.
    """

    def __init__(self, ids: Tensor, mask: Tensor, texts: Tensor) -> None:
        self.ids, self.mask, self.texts = ids, mask, texts

    def __len__(self) -> int:
        return len(self.texts)

    def batch(self, index: Tensor) -> TextBatch:
        """Collate the examples ``index``, cut to the longest."""
        texts = self.texts[index]
        longest = max(int(self.mask[texts].sum(1).max()), 1)
        return TextBatch(texts, self.ids[texts, :longest], self.mask[texts, :longest])
