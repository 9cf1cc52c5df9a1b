"""A blend knows its spread, and draws, where its parts do."""

from __future__ import annotations

import torch
from torch import Tensor

from rankloom.protocols import Scores
from rankloom_plugins.scorers.standardise import combine, standardise
from rankloom_plugins.scorers.uncertainty import uncertainty

ALLOWED = torch.ones(2, 4, dtype=torch.bool)


def _parts(seed: int = 0) -> list[Scores]:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(2, 2, 4, generator=generator) * 3 + 1
    values[0, 0, 1] = torch.nan
    std = torch.rand(2, 4, generator=generator) + 0.1

    def draw(own: torch.Generator) -> Tensor:
        return values[0] + std * torch.randn(2, 4, generator=own)

    return [Scores(values[0], "rating", std, draw), Scores(values[1])]


def _z(parts: list[Scores]) -> Tensor:
    return torch.stack([standardise(part.values, ALLOWED) for part in parts])


def test_samples_scatter_as_the_spread_says() -> None:
    parts, weights = _parts(), torch.tensor([0.7, 0.3])
    z = _z(parts)
    std, sample = uncertainty(parts, z, ALLOWED, weights)
    assert std is not None
    assert sample is not None
    generator = torch.Generator().manual_seed(1)
    drawn = torch.stack([sample(generator) for _ in range(4000)])
    assert torch.allclose(drawn.mean(0), combine(z, weights), atol=0.05)
    assert torch.allclose(drawn.std(0), std, rtol=0.06, atol=1e-6)
    assert std[0, 1] == 0  # the uncertain part does not know it
    again = sample(torch.Generator().manual_seed(5))
    assert torch.equal(again, sample(torch.Generator().manual_seed(5)))


def test_certain_parts_make_a_certain_blend() -> None:
    parts = [Scores(part.values) for part in _parts()]
    assert uncertainty(parts, _z(parts), ALLOWED, torch.ones(2) / 2) == (None, None)
