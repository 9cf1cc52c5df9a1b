"""The item table: raw fields → cached features → vectors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rankloom.data.cache import EmbeddingCache
from rankloom.data.tables import Table
from rankloom.nn.encoding import encode_values
from rankloom.pipeline.field_encoding import Progress, Skipped, encode_fields
from rankloom.pipeline.model import Model
from rankloom.protocols import CandidateBatch, Encoded, Features

__all__ = ["ItemTable"]


class ItemTable:
    """Features and vectors of all items for one model.

    Rows only append. ``vectors`` is refreshed whole after training and for new rows on an addition;
    ``version`` counts those changes.

    Args:
        model: Whose item tower runs.
        fields: The item field each of its item encoders reads.
    """

    def __init__(self, model: Model, fields: Mapping[str, str]) -> None:
        self.model = model
        self.fields = dict(fields)
        self.features: dict[str, Features] = {}
        self.vectors = torch.empty(0, model.items.dim)
        self.present = torch.empty(0, dtype=torch.bool)
        self._tokens: Encoded | None = None
        self._parts: tuple[int, dict[str, tuple[Tensor, Tensor]]] | None = None
        self.version = 0
        self._complete: tuple[Tensor, bool] | None = None
        self._unknown: tuple[Tensor, Tensor] | None = None
        self.encoded = 0
        self.skipped: list[Skipped] = []

    def __len__(self) -> int:
        return int(self.present.shape[0])

    def load(
        self,
        items: Table,
        cache: EmbeddingCache | None,
        progress: Progress | None = None,
        device: torch.device | str | None = None,
    ) -> int:
        """Compute the features of all items; returns how many values were really encoded.

        Args:
            items: The catalog.
            cache: Where frozen encodings are kept.
            progress: Told (encoder, done, total).
            device: Where frozen encoders run; None: the CPU.

        Raises:
            DataError: A value cannot be read; see ``on_bad_item``.
        """
        encoders = self.model.items.encoders
        found = encode_fields(encoders, self.fields, items, None, cache, progress, device)
        self.features, self.encoded, self.skipped = found.features, found.encoded, found.skipped
        for fields in self.model.scorer_fields.values():
            self.encoded += fields.load(items, cache, progress, device)
            self.skipped = self.skipped + fields.skipped
        return self.encoded

    @property
    def complete(self) -> bool:
        """True if every item is present."""
        if self._complete is None or self._complete[0] is not self.present:
            self._complete = self.present, bool(self.present.all())
        return self._complete[1]

    @property
    def unknown(self) -> Tensor:
        """``[n]`` float: 0 where an item is present, NaN where it is not; added, it masks."""
        if self._unknown is None or self._unknown[0] is not self.present:
            marks = torch.zeros(len(self), device=self.present.device)
            self._unknown = self.present, marks.masked_fill(~self.present, torch.nan)
        return self._unknown[1]

    def device(self) -> torch.device:
        """Where the model lives."""
        for parameter in self.model.parameters():
            return parameter.device
        return torch.device("cpu")

    def encodings(self, candidates: CandidateBatch) -> tuple[Encoded, Tensor]:
        """Return the encodings of candidates and which of them the table knows.

        Args:
            candidates: Shared ``[n]`` or ``[q, n]``, on the table's device.

        Returns:
            Vectors of ``items``' shape, with tokens ``[..., t, d]`` where the item tower carries
            them, and bool of ``items``' shape. An item newer than the table is not present.
        """
        items = candidates.items
        tokens = self._with_tokens() if self.model.items.tokens else None
        if len(items) == len(self) and (candidates.whole or _is_range(items)):
            return tokens or Encoded(self.vectors), self.present
        known = (items >= 0) & (items < len(self))
        at = items.masked_fill(~known, 0)
        rows = (tokens or Encoded(self.vectors)).select(at)
        return rows, self.present[at] & known

    def _with_tokens(self) -> Encoded:
        """Tokens of all items; a bundle holds none, so that they are computed when first asked."""
        if self._tokens is None:
            whole, _ = self.encode(self.features)
            self._tokens = Encoded(self.vectors, whole.tokens, whole.mask)
        return self._tokens

    @torch.no_grad()
    def encode(self, features: Mapping[str, Features], block: int = 8192) -> tuple[Encoded, Tensor]:
        """Run the item tower in evaluation mode over ``n`` rows, in blocks.

        Returns:
            Encodings (float32, also where the model trains in mixed precision) and ``[n]`` bool.
        """
        was_training = self.model.training
        self.model.eval()
        device = self.device()
        n = len(next(iter(features.values())))
        parts: list[Encoded] = []
        present: list[Tensor] = []
        for start in range(0, max(n, 1), block):
            rows = torch.arange(start, min(start + block, n))
            part = {name: f.select(rows).to(device) for name, f in features.items()}
            v, p = self.model.items.encode(part)
            tokens = None if v.tokens is None else v.tokens.float()
            parts.append(Encoded(v.vectors.float(), tokens, v.mask))
            present.append(p)
        self.model.train(was_training)
        return Encoded.cat(parts), torch.cat(present)

    @torch.no_grad()
    def parts(self, block: int = 8192) -> dict[str, tuple[Tensor, Tensor]]:
        """Return what each item encoder says by itself, before the fusion.

        Returns:
            By encoder, vectors ``[n, d]`` float32 and ``[n]`` bool where it says anything, on the
            CPU. They are computed anew after every change of the table, and remembered.
        """
        if self._parts is None or self._parts[0] != self.version:
            was_training = self.model.training
            self.model.eval()
            made = {name: self._part(name, block) for name in self.features}
            self.model.train(was_training)
            self._parts = self.version, made
        return self._parts[1]

    def _part(self, name: str, block: int) -> tuple[Tensor, Tensor]:
        features, device = self.features[name], self.device()
        vectors, present = [], []
        for start in range(0, max(len(features), 1), block):
            rows = torch.arange(start, min(start + block, len(features)))
            encoded, there = self.model.items.run(name, features.select(rows).to(device))
            vectors.append(torch.where(there[:, None], encoded.vectors.float(), 0.0).cpu())
            present.append(there.cpu())
        return torch.cat(vectors), torch.cat(present)

    def refresh(self) -> None:
        """Recompute all vectors."""
        whole, self.present = self.encode(self.features)
        self._take(whole)

    def _take(self, whole: Encoded) -> None:
        self.vectors = whole.vectors
        self._tokens = whole if whole.tokens is not None else None
        self.version += 1

    def append(self, items: Table, rows: list[int], cache: EmbeddingCache | None) -> None:
        """Encode new rows of a longer table and append them."""
        found = encode_fields(self.model.items.encoders, self.fields, items, rows, cache)
        fresh = found.features
        self.skipped = self.skipped + found.skipped
        encoded, present = self.encode(fresh)
        old = self._with_tokens() if self.model.items.tokens else Encoded(self.vectors)
        self.features = {
            name: Features.cat([known, fresh[name]]) for name, known in self.features.items()
        }
        for fields in self.model.scorer_fields.values():
            fields.append(items, rows, cache)
        self.present = torch.cat([self.present, present])
        self._take(Encoded.cat([old, encoded]))

    def pseudo_item(self, field: str, text: str) -> Tensor | None:
        """Encode free text as an item of which only ``field`` is known.

        Returns:
            ``[1, d]``, or None if no encoder of the item tower reads that field.
        """
        parts: dict[str, Features] = {}
        readers = 0
        for name, encoder in self.model.items.encoders.items():
            if self.fields[name].removeprefix("item.") == field:
                parts[name], _ = encode_values(encoder, [text], cache=None)
                readers += 1
            else:
                parts[name] = _missing_like(self.features[name])
        if not readers:
            return None
        return self.encode(parts)[0].vectors


def _is_range(items: Tensor) -> bool:
    return items.dim() == 1 and bool((items == torch.arange(len(items), device=items.device)).all())


def _missing_like(features: Features) -> Features:
    one = torch.zeros(1, dtype=torch.long)
    row = features.select(one)
    blank = {name: torch.zeros_like(tensor) for name, tensor in row.tensors.items()}
    return Features(blank, torch.zeros_like(row.present))
