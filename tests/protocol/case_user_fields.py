"""User fields: encoders of ``user.age`` beside ``history``; a fusion masks what is missing."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from rankloom.protocols import Encoded, Features, QueryBatch


class Age(nn.Module):
    dim = 2

    def collate(self, values: Sequence[float | None]) -> Features:
        age = torch.tensor([value or 0.0 for value in values])[:, None] / 100
        return Features({"age": age}, torch.tensor([value is not None for value in values]))

    def forward(self, features: Features) -> Encoded:
        return Encoded(torch.cat([features["age"].sin(), features["age"].cos()], 1))


class Fused(nn.Module):
    def __init__(self, dims: Mapping[str, int], dim: int) -> None:
        super().__init__()
        self.dim, self.parts = dim, nn.ModuleDict({n: nn.Linear(d, dim) for n, d in dims.items()})

    def forward(self, encoded: Mapping[str, Encoded], present: Mapping[str, Tensor]) -> Encoded:
        parts = [self.parts[n](e.vectors) * present[n][:, None] for n, e in encoded.items()]
        return Encoded(torch.stack(parts).sum(0))


def query_tower(queries: QueryBatch, history: Encoded, age: Age, fusion: Fused) -> QueryBatch:
    encoded = {"age": age(queries.features("age")), "history": history}
    present = {"age": queries.features("age").present, "history": queries.history.lengths > 0}
    return queries.with_encoded(fusion(encoded, present))
