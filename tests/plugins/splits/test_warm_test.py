"""``cold_items`` with warm targets beside the cold ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rankloom.errors import DataError
from rankloom.protocols import Build
from rankloom_plugins.splits.cold_items import ColdItems, draw_warm
from rankloom_plugins.splits.plugin import ColdItemsConfig

from .test_splits import EVENTS, Event, make


def by_seed(dense: int = 40) -> list[Event]:
    return [(user, item, 5.0, item) for user in range(6) for item in range(dense)]


def test_the_cold_items_are_those_of_the_default() -> None:
    dataset = make(by_seed())
    alone = ColdItems(ColdItemsConfig(), Build()).split(dataset, 3)
    both = ColdItems(ColdItemsConfig(warm_test=0.1), Build()).split(dataset, 3)
    items, users = dataset.interactions.items, dataset.interactions.users
    cold = alone.test.candidates
    of_cold = cold[items[both.test.targets]]
    assert torch.equal(both.test.targets[of_cold], alone.test.targets)
    warm = both.test.targets[~of_cold]
    assert torch.bincount(users[warm]).tolist() == [3] * 6  # a tenth of 32, rounded down
    assert bool(both.test.candidates.all())
    assert both.refit is not None
    assert not bool(cold[items[both.refit]].any())
    assert not set(both.refit.tolist()) & set(warm.tolist())
    assert len(both.refit) + len(warm) == 6 * 32
    # validation: the pseudo-cold items of the default, and as many warm positives as in the test
    pseudo = alone.validation.candidates
    of_pseudo = pseudo[items[both.validation.targets]]
    left = set(alone.validation.targets.tolist()) - set(both.test.targets.tolist())
    assert set(both.validation.targets[of_pseudo].tolist()) == left
    judged = both.validation.targets[~of_pseudo]
    assert ((torch.bincount(users[judged]) - 3).abs() <= 1).all()
    assert not bool((pseudo | cold)[items[both.train]].any())
    assert torch.equal(both.validation.candidates, ~cold)
    assert "10 % of the positives with warm items" in both.card.name


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.sampled_from([0.1, 0.3]), st.integers(0, 4))
def test_a_warm_target_stays_warm(events: list[Event], share: float, seed: int) -> None:
    dataset = make(events, min_value=4.0)
    try:
        config = ColdItemsConfig(warm_test=share, fraction=0.3, validation_fraction=0.3)
        result = ColdItems(config, Build()).split(dataset, seed)
    except DataError:
        return
    log = dataset.interactions
    assert result.refit is not None
    known = result.refit[dataset.positive[result.refit]]
    met = set(log.items[result.refit].tolist())  # all but the cold items
    for item in log.items[result.test.targets].tolist():
        assert item not in met or item in log.items[known].tolist()


def test_an_items_only_positives_are_not_drawn() -> None:
    dataset = make([(user, item, 5.0, item) for user in range(2) for item in range(6)])
    everything = np.ones(12, dtype=bool)
    for seed in range(20):
        drawn = draw_warm(dataset, everything, everything, 0.45, np.random.default_rng(seed))
        left = dataset.interactions.items.numpy()[~drawn]
        assert set(left.tolist()) == set(range(6))


def test_half_of_everything_cannot_be_held_out_twice() -> None:
    with pytest.raises(ValidationError, match=r"less than 0\.5"):
        ColdItemsConfig(warm_test=0.5)
