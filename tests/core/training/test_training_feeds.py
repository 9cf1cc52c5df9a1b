"""Feeds against brute force: no query sees its target or what came later."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.data.dataset import HistoryRule
from rankloom.data.ids import IdMap
from rankloom.data.interactions import Interactions
from rankloom.data.tables import Table
from rankloom.pipeline.query_fields import QueryFields
from rankloom.protocols import TrainData
from rankloom.training.feeds import Batches, PairFeed, StepBatch, Uncounted

Event = tuple[int, int, float, int]
NAN = float("nan")
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 5),
        st.sampled_from([1.0, 4.0, NAN]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=20,
)


def _train(events: list[Event]) -> TrainData:
    columns = [torch.tensor(column) for column in zip(*events, strict=True)]
    users, items, values, times = columns
    log = Interactions(users, items, values.float(), times, torch.arange(len(events)))
    order = log.order()
    log = log.select(order)
    positive = ~(log.values < 3)  # without a value: positive
    universe = torch.zeros(6, dtype=torch.bool)
    universe[log.items[positive]] = True
    known = torch.zeros(4, dtype=torch.bool)
    known[users] = True
    items_table = Table("item", IdMap(list(range(6))), pl.DataFrame({"id": range(6)}))
    users_table = Table("user", IdMap(list(range(4))), pl.DataFrame({"id": range(4)}))
    return TrainData(log, positive, items_table, users_table, universe, known)


@given(EVENTS, st.sampled_from(get_args(HistoryRule)), st.booleans())
@settings(max_examples=60, deadline=None)
def test_pairs_are_those_of_brute_force(
    events: list[Event], rule: HistoryRule, rated: bool
) -> None:
    train = _train(events)
    feed = PairFeed(train, QueryFields({}, {}), rule, rated)
    log, rows = train.interactions, range(len(events))
    positive = train.positive.tolist()
    targets = [row for row in rows if (not log.values[row].isnan() if rated else positive[row])]
    assert len(feed) == len(targets)
    if not targets:
        return
    batch: StepBatch = feed.batch(torch.arange(len(targets)))
    assert batch.targets.tolist() == [int(log.items[row]) for row in targets]
    for place, target in enumerate(targets):
        mine = (int(log.times[target]), int(log.rows[target]))
        expected = [
            int(log.items[row])
            for row in rows
            if log.users[row] == log.users[target]
            and positive[row]
            and row != target
            and (rule == "others" or (int(log.times[row]), int(log.rows[row])) < mine)
        ]
        assert batch.queries.history.items[place].tolist() == expected
    if rated:
        assert batch.positive is not None
        assert batch.positive.tolist() == [positive[row] for row in targets]
    else:
        assert batch.positive is None


@pytest.mark.parametrize("world", [1, 2, 3])
def test_ranks_share_the_batch_of_one_process(world: int) -> None:
    events = [(n % 4, n % 6, 4.0, n) for n in range(13)]
    feed = PairFeed(_train(events), QueryFields({}, {}), "before", False)

    def batches(rank: int, of: int, epoch: int) -> list[list[int]]:
        made = Batches(feed, 4, seed=5)
        made.rank, made.world, made.epoch = rank, of, epoch
        assert len(made) == 4
        found = []
        for batch in made:
            counted = not isinstance(batch, Uncounted)
            found.append(batch.queries.times.tolist() if counted else [])
        return found

    whole = batches(0, 1, 2)
    assert whole == batches(0, 1, 2)  # the same for the same seed and epoch
    assert whole != batches(0, 1, 3)
    parts = [batches(rank, world, 2) for rank in range(world)]
    for step, one in enumerate(whole):
        assert sorted(time for part in parts for time in part[step]) == sorted(one)
        assert all(part[step] == one[rank::world] for rank, part in enumerate(parts))


def test_batch_moves_only_when_it_must(tmp_path: Path) -> None:
    feed = PairFeed(_train([(0, 1, 4.0, 0)]), QueryFields({}, {}), "before", True)
    batch = feed.batch(torch.tensor([0]))
    assert batch.to("cpu") is batch
    moved = batch.to("meta")
    assert {moved.targets.device.type, moved.values.device.type} == {"meta"}
    assert moved.positive is not None
    assert moved.positive.device.type == moved.queries.users.device.type == "meta"
    assert Uncounted(batch).to("meta").batch.targets.device.type == "meta"
