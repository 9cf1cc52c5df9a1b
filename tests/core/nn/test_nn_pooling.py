from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.nn.pooling import Pooling, pool
from rankloom.nn.seeds import seeded


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(0, 99))
@pytest.mark.parametrize("how", ["mean", "cls", "max"])
def test_against_numpy_and_blind_to_padding(how: Pooling, lengths: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(len(lengths), 5, 3, generator=generator)
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    tokens[~mask] = 1e9
    got = pool(tokens, mask.long(), how)
    for row, length in enumerate(lengths):
        real = tokens[row, :length].numpy()
        if length == 0:
            want = np.zeros(3)
        else:
            want = {"mean": real.mean(0), "cls": real[0], "max": real.max(0)}[how]
        np.testing.assert_allclose(got[row].numpy(), want, rtol=1e-5, atol=1e-5)


def test_seeds_differ_by_name_and_seed_alone() -> None:
    def draw(seed: int, *names: str) -> list[float]:
        return torch.rand(4, generator=seeded(seed, *names)).tolist()

    assert draw(1, "embedding", "item.id") == draw(1, "embedding", "item.id")
    assert draw(1, "embedding", "item.id") != draw(1, "embedding", "user.id")
    assert draw(1, "a") != draw(2, "a")
    assert draw(-1, "a") != draw(2**40, "a")
