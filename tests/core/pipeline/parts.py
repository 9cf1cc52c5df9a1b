"""Small components and a model made of them by hand, over the world of the conformance kit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rankloom.pipeline.item_table import ItemTable
from rankloom.pipeline.model import Model, TaskRuntime
from rankloom.pipeline.scorer_fields import ScorerFields
from rankloom.pipeline.tower import Tower
from rankloom.protocols import Encoded, Features, History, TrainBatch
from rankloom.testing.doubles import InnerProduct

DIM = 8


class Plain:
    """An encoder that is no module: numbers to vectors, and tokens if asked; ``forward`` alone."""

    def __init__(self, dim: int = DIM, tokens: int = 0) -> None:
        self.dim, self.width = dim, tokens

    def collate(self, values: Sequence[float | None]) -> Features:
        x = torch.tensor([0.0 if v is None else float(v) for v in values])[:, None]
        return Features({"x": x}, torch.tensor([v is not None for v in values], dtype=torch.bool))

    def precompute(self, features: Features) -> Features:
        return features

    def forward(self, features: Features) -> Encoded:
        vectors = (features["x"] / 100 + torch.arange(self.dim)).cos()
        if not self.width:
            return Encoded(vectors)
        steps = torch.arange(1, self.width + 1)
        mask = (steps <= 2)[None].expand(len(vectors), -1)
        return Encoded(vectors, vectors[:, None] * steps[:, None], mask)


class Ids(nn.Module):
    """A table of vectors; indices beyond it are missing."""

    def __init__(self, n: int, dim: int = DIM) -> None:
        super().__init__()
        self.dim, self.table = dim, nn.Embedding(n, dim)

    def collate(self, values: Sequence[int]) -> Features:
        at = torch.tensor(values, dtype=torch.long)
        inside = at < self.table.num_embeddings
        return Features({"at": at.masked_fill(~inside, 0)}, inside)

    def precompute(self, features: Features) -> Features:
        return features

    def forward(self, features: Features) -> Encoded:
        return Encoded(self.table(features["at"]))


class Sum(nn.Module):
    """The sum of what is present."""

    def __init__(self, dim: int = DIM) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, encoded: Mapping[str, Encoded], present: Mapping[str, Tensor]) -> Encoded:
        parts = [encoded[name].vectors * present[name][:, None] for name in encoded]
        return Encoded(torch.stack(parts).sum(0))


class Events(nn.Module):
    """The mean of the events' vectors, with the events as tokens."""

    def __init__(self, dim: int = DIM) -> None:
        super().__init__()
        self.dim, self.map = dim, nn.Linear(dim, dim)

    def collate(self, values: History) -> Features:
        return Features(values.crop(4), values.lengths > 0)

    def forward(self, features: Features) -> Encoded:
        mask = features["mask"]
        tokens = self.map(features["vectors"]) * mask[..., None]
        return Encoded(tokens.sum(1) / mask.sum(1, keepdim=True).clamp(min=1), tokens, mask)


class Regression:
    """Squared error of the target's score against its value."""

    target, candidates = "rating", "none"

    def loss(self, batch: TrainBatch, score: Any) -> Tensor:
        error: Tensor = score(batch.target_candidates()).values[:, 0] - batch.values
        return (batch.weights * error.square()).sum() / batch.weights.sum().clamp(min=1e-9)


def make(
    n: int,
    scorer: Any = None,
    *,
    tokens: bool = False,
    objective: Any = None,
    fields: ScorerFields | None = None,
) -> tuple[Model, ItemTable]:
    """An item tower of ids and years, a query tower of events, and one scorer."""
    torch.manual_seed(0)
    items = Tower({"id": Ids(n), "year": Plain(tokens=3)}, Sum(), tokens)
    queries = Tower({"history": Events()}, None, tokens)
    tasks = [] if objective is None else [TaskRuntime("task", objective, "model")]
    own = {} if fields is None else {"model": fields}
    scorers = {"model": scorer or InnerProduct()}
    model = Model("m", items, queries, scorers, tasks, ("history",), False, own)
    return model, ItemTable(model, {"id": "item.id", "year": "item.year"})
