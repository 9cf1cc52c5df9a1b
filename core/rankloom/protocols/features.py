"""Features and encodings: what encoders take in and give out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

__all__ = ["Encoded", "Features"]


@dataclass(frozen=True)
class Features:
    """Tensors of ``n`` values of one field, each with first dimension ``n``.

    Attributes:
        tensors: Named tensors, all ``[n, ...]``.
        present: ``[n]`` bool; False where the value is missing. A missing value is masked by the
            fusion, it is never an error.
        problems: Why a value could not be read, by row; those rows are not present. ``collate``
            fills it in and core reports it (``on_bad_item``); selected or joined features have
            forgotten it.
    """

    tensors: Mapping[str, Tensor]
    present: Tensor
    problems: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.present.shape[0])

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def select(self, rows: Tensor) -> Features:
        """Return the features of ``rows`` (``[m]`` int64, each in ``0..n-1``)."""
        picked = {name: tensor[rows] for name, tensor in self.tensors.items()}
        return Features(picked, self.present[rows])

    def to(self, device: torch.device | str) -> Features:
        """Return the features on ``device``."""
        moved = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        return Features(moved, self.present.to(device), self.problems)

    @staticmethod
    def cat(parts: Sequence[Features]) -> Features:
        """Concatenate along ``n``; trailing dimensions are padded with zeros to the widest."""
        if len(parts) == 1:
            return parts[0]
        names = parts[0].tensors.keys()
        tensors = {name: _cat_padded([part.tensors[name] for part in parts]) for name in names}
        return Features(tensors, torch.cat([part.present for part in parts]))


def _cat_padded(tensors: Sequence[Tensor]) -> Tensor:
    if all(tensor.shape[1:] == tensors[0].shape[1:] for tensor in tensors):
        return torch.cat(list(tensors))
    tail = [max(sizes) for sizes in zip(*(tensor.shape[1:] for tensor in tensors), strict=True)]
    total = sum(tensor.shape[0] for tensor in tensors)
    out = tensors[0].new_zeros((total, *tail))
    start = 0
    for tensor in tensors:
        region = (slice(start, start + tensor.shape[0]), *(slice(0, s) for s in tensor.shape[1:]))
        out[region] = tensor
        start += tensor.shape[0]
    return out


@dataclass(frozen=True)
class Encoded:
    """What an encoder, a fusion or a tower yields.

    Attributes:
        vectors: ``[n, dim]``.
        tokens: ``[n, t, dim]`` where the model has tokens (words of a text, positions of a
            history), else None.
        mask: ``[n, t]`` bool, True at real tokens; None where ``tokens`` is None.
    """

    vectors: Tensor
    tokens: Tensor | None = None
    mask: Tensor | None = field(default=None)

    def select(self, rows: Tensor) -> Encoded:
        """Return the encodings of ``rows`` (any integer shape for the vectors' first dimension)."""
        return Encoded(
            self.vectors[rows],
            None if self.tokens is None else self.tokens[rows],
            None if self.mask is None else self.mask[rows],
        )

    def to(self, device: torch.device | str) -> Encoded:
        """Return the encodings on ``device``."""
        return Encoded(
            self.vectors.to(device),
            None if self.tokens is None else self.tokens.to(device),
            None if self.mask is None else self.mask.to(device),
        )

    def where(self, keep: Tensor) -> Encoded:
        """Return the encodings with zeros, and no real token, where ``keep [n]`` is False.

        ``where`` and not a product: 0 × inf of a broken encoding would be NaN for everybody.
        """
        if keep.is_cpu and bool(keep.all()):  # elsewhere, to look would be to wait
            return self
        return Encoded(
            torch.where(keep[:, None], self.vectors, 0.0),
            None if self.tokens is None else torch.where(keep[:, None, None], self.tokens, 0.0),
            None if self.mask is None else self.mask & keep[:, None],
        )

    def without_tokens(self) -> Encoded:
        """Return the vectors alone."""
        return self if self.tokens is None and self.mask is None else Encoded(self.vectors)

    @staticmethod
    def cat(parts: Sequence[Encoded]) -> Encoded:
        """Concatenate along ``n``; shorter token sequences are padded, and masked there.

        Tokens survive where every part has them.
        """
        if len(parts) == 1:
            return parts[0]
        vectors = torch.cat([part.vectors for part in parts])
        tokens = [part.tokens for part in parts if part.tokens is not None]
        masks = [part.mask for part in parts if part.mask is not None]
        if len(tokens) < len(parts) or len(masks) < len(parts):
            return Encoded(vectors)
        return Encoded(vectors, _cat_padded(tokens), _cat_padded(masks))
