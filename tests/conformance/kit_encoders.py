"""Encoders and fusions without a fault, and others with exactly one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rankloom.protocols import Build, Encoded, Features, History, State, TrainData


class Words(nn.Module):
    """The mean of a trained vector a word; the vocabulary comes from the universe."""

    dim = 8
    padding = 0

    def __init__(self, config: object, build: Build) -> None:
        super().__init__()
        self.vocabulary: dict[str, int] = {}
        self.table = nn.Embedding(64, self.dim)

    def prepare(self, train: TrainData) -> None:
        texts = train.items.values("title", self.rows(train))
        words = sorted({word for text in texts if text is not None for word in text.split()})
        self.vocabulary = {word: number + 2 for number, word in enumerate(words)}

    def rows(self, train: TrainData) -> list[int]:
        rows: list[int] = train.universe.nonzero()[:, 0].tolist()
        return rows

    def collate(self, values: Sequence[Any]) -> Features:
        rows = [[self.vocabulary.get(w, 63) for w in (value or "").split()] for value in values]
        width = max([1, *(len(row) for row in rows)])
        padded = [row + [self.padding] * (width - len(row)) for row in rows]
        ids = torch.tensor(padded, dtype=torch.long).reshape(len(rows), width)
        return Features({"ids": ids}, self.present(values))

    def present(self, values: Sequence[Any]) -> Tensor:
        return torch.tensor([value is not None for value in values], dtype=torch.bool)

    def precompute(self, features: Features) -> Features:
        return features

    def forward(self, features: Features) -> Encoded:
        mask = features["ids"] != self.padding
        total = (self.table(features["ids"]) * mask[..., None]).sum(1)
        return Encoded(total / mask.sum(1, keepdim=True).clamp(min=1))

    def export_state(self) -> State:
        return State(meta={"vocabulary": self.vocabulary})

    def import_state(self, state: State) -> None:
        self.vocabulary = dict(state.meta["vocabulary"])


class Drifts(Words):
    calls = 0

    def forward(self, features: Features) -> Encoded:
        self.calls += 1
        return Encoded(super().forward(features).vectors + 4e-6 * (self.calls % 2))


class Writes(Words):
    def collate(self, values: Sequence[Any]) -> Features:
        features = super().collate(values)
        return Features({**features.tensors, "scratch": torch.zeros(len(values))}, features.present)

    def forward(self, features: Features) -> Encoded:
        features["scratch"].add_(1)
        return super().forward(features)


class Draws(Words):
    def forward(self, features: Features) -> Encoded:
        torch.rand(1)
        return super().forward(features)


class Forgets(Words):
    def export_state(self) -> State:
        return State(meta={"vocabulary": {}})


class Centres(Words):
    def forward(self, features: Features) -> Encoded:
        vectors = super().forward(features).vectors
        return Encoded(vectors - vectors.mean(0))


class Idle(Words):
    def __init__(self, config: object, build: Build) -> None:
        super().__init__(config, build)
        self.spare = nn.Parameter(torch.ones(8))

    def forward(self, features: Features) -> Encoded:
        return Encoded(super().forward(features).vectors * self.spare.detach())


class Unmasked(Words):
    def forward(self, features: Features) -> Encoded:
        return Encoded(super().forward(features).vectors, self.table(features["ids"]))


class AllThere(Words):
    def present(self, values: Sequence[Any]) -> Tensor:
        return torch.ones(len(values), dtype=torch.bool)


class OtherPadding(Words):
    padding = 1


class NeverEmpty(Words):
    def collate(self, values: Sequence[Any]) -> Features:
        assert values, "nothing to collate"
        return super().collate(values)


class Offsets(Words):
    def precompute(self, features: Features) -> Features:
        offset = torch.full((len(features), 1), float(len(features)))
        return Features({**features.tensors, "offset": offset}, features.present)

    def forward(self, features: Features) -> Encoded:
        return Encoded(super().forward(features).vectors + 0 * features["offset"])


class KnowsCold(Words):
    def rows(self, train: TrainData) -> list[int]:
        return list(range(train.n_items))


class Nameless(Words):
    def __init__(self, config: object, build: Build) -> None:
        super().__init__(config, build)
        self.requires_grad_(False)

    def precompute(self, features: Features) -> Features:
        return Features({"vector": super().forward(features).vectors}, features.present)

    def forward(self, features: Features) -> Encoded:
        return Encoded(features["vector"])

    def fingerprint(self) -> str:
        return str(id(self))


class Running(nn.Module):
    """The mapped sum of the events so far; one query a position."""

    def __init__(self, config: object, build: Build) -> None:
        super().__init__()
        self.dim = build.dims["items"]
        self.map = nn.Linear(self.dim, self.dim, bias=False)

    def collate(self, values: History) -> Features:
        return Features(values.crop(4), values.lengths > 0)

    def forward(self, features: Features) -> Encoded:
        mask = features["mask"]
        tokens = self.tokens(self.map(features["vectors"] * mask[..., None]))
        return Encoded(self.vector(features, tokens), tokens, mask)

    def tokens(self, x: Tensor) -> Tensor:
        return x.cumsum(1)

    def vector(self, features: Features, tokens: Tensor) -> Tensor:
        return tokens[:, -1]  # nothing is added after the last event


class OtherVector(Running):
    def vector(self, features: Features, tokens: Tensor) -> Tensor:
        return 2 * tokens[:, -1]


class ZeroPadding(Running):
    def collate(self, values: History) -> Features:
        features = super().collate(values)
        return Features(
            {**features.tensors, "items": features["items"].clamp(min=0)}, features.present
        )


class ReadsPadding(Running):
    def vector(self, features: Features, tokens: Tensor) -> Tensor:
        total: Tensor = self.map(features["vectors"]).sum(1)
        return total


class NeedsEvents(Running):
    def collate(self, values: History) -> Features:
        assert len(values) == 1 or len(values.items.values), "a batch without any event"
        return super().collate(values)


class SeesLater(Running):
    def tokens(self, x: Tensor) -> Tensor:
        return x.sum(1, keepdim=True).expand_as(x)


class Sums(nn.Module):
    """The mean of mapped encodings that are present."""

    dim = 6

    def __init__(self, config: object, build: Build) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(
            {name: nn.Linear(width, self.dim) for name, width in build.dims.items()}
        )

    def forward(self, encoded: Mapping[str, Encoded], present: Mapping[str, Tensor]) -> Encoded:
        masks = self.masks(present)
        parts = [
            self.parts[name](encoded[name].vectors * mask[:, None]) * mask[:, None]
            for name, mask in masks.items()
        ]
        count = torch.stack(list(masks.values())).sum(0)
        return self.packed(torch.stack(parts).sum(0) / self.at_least(count)[:, None])

    def masks(self, present: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return present

    def at_least(self, count: Tensor) -> Tensor:
        return count.clamp(min=1)

    def packed(self, vectors: Tensor) -> Encoded:
        return Encoded(vectors)


class NumberMask(Sums):
    def packed(self, vectors: Tensor) -> Encoded:
        return Encoded(vectors, vectors[:, None], torch.ones(len(vectors), 1))


class ReadsMasked(Sums):
    def masks(self, present: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {**present, "a": torch.ones_like(present["a"])}


class DividesByNone(Sums):
    def at_least(self, count: Tensor) -> Tensor:
        return count


class LeavesOut(Sums):
    def masks(self, present: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {name: mask for name, mask in present.items() if bool(mask.any())} or present
