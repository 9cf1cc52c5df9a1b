"""The history bag against sums written out."""

from __future__ import annotations

import polars as pl
import pytest
import torch

from rankloom.data.ids import IdMap
from rankloom.data.interactions import Interactions
from rankloom.data.tables import Table
from rankloom.protocols import Build, Encoded, History, RaggedIndices, TrainData
from rankloom_plugins.sequence.history_bag import HistoryBagEncoder
from rankloom_plugins.sequence.plugin import HistoryBagConfig

NAN = float("nan")
N_ITEMS = 6


def _bag(**settings: object) -> HistoryBagEncoder:
    config = HistoryBagConfig.model_validate({"dim": 4, **settings})
    encoder = HistoryBagEncoder(config, Build(n_items=N_ITEMS, seed=3))
    items = torch.tensor([0, 1, 2, 3])  # 4 and 5 are cold
    n = len(items)
    zeros = torch.zeros(n, dtype=torch.long)
    log = Interactions(zeros, items, torch.ones(n), zeros, torch.arange(n))
    universe = torch.zeros(N_ITEMS, dtype=torch.bool)
    universe[items] = True
    table = Table("item", IdMap(range(N_ITEMS)), pl.DataFrame())
    users = Table("user", IdMap([0]), pl.DataFrame())
    every = torch.ones(n, dtype=torch.bool)
    encoder.prepare(TrainData(log, every, table, users, universe, torch.tensor([True])))
    return encoder


def _encode(encoder: HistoryBagEncoder, rows: list[list[int]], values: list[float]) -> Encoded:
    items = RaggedIndices.from_lists([torch.tensor(row, dtype=torch.long) for row in rows])
    n = len(items.values)
    history = History(
        items, torch.tensor(values), torch.zeros(n, dtype=torch.long), torch.arange(n)
    )
    encoded: Encoded = encoder(encoder.collate(history))
    return encoded


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_sum_over_known_items_by_a_power_of_their_number(power: float) -> None:
    encoder = _bag(power=power)
    encoded = _encode(encoder, [[1, 3, 5, -1], [4], []], [1.0] * 5)
    own = encoder.table[1:]
    torch.testing.assert_close(encoded.vectors[0], (own[1] + own[3]) / 2**power)
    assert encoded.mask is not None
    assert encoded.mask[:, 0].tolist() == [True, False, False]
    assert not encoded.vectors[1:].any()


def test_values_count_by_their_distance_from_the_mean() -> None:
    encoder = _bag(weight_by_value=True, power=1.0)
    encoded = _encode(encoder, [[0, 1, 2]], [5.0, 2.0, NAN])
    own = encoder.table[1:]
    torch.testing.assert_close(encoded.vectors[0], (1.5 * own[0] - 1.5 * own[1]) / 3)


def test_cold_items_and_padding_get_no_gradient() -> None:
    encoder = _bag()
    _encode(encoder, [[0, 4, 1], [2]], [1.0] * 4).vectors.sum().backward()
    gradient = encoder.table.grad
    assert gradient is not None
    touched = gradient.abs().sum(1) > 0
    assert touched.tolist() == [False, True, True, True, False, False, False]


def test_items_added_after_the_fit_are_left_out() -> None:
    encoder = _bag(power=0.0)
    encoded = _encode(encoder, [[0, N_ITEMS + 2]], [1.0, 1.0])
    torch.testing.assert_close(encoded.vectors[0], encoder.table[1])
