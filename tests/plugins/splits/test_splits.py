"""Splits are disjoint, cover everything, and do not look ahead."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import assume, currently_in_test_context, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rankloom.data.assembly import WITHOUT_TIME
from rankloom.data.dataset import Dataset, SplitResult
from rankloom.data.frames import table_of_ids
from rankloom.data.interactions import Interactions
from rankloom.data.positives import apply_positive
from rankloom.errors import DataError
from rankloom.protocols import Build, Split
from rankloom_plugins.splits.cold_items import ColdItems, draw_stratified
from rankloom_plugins.splits.files import GivenFiles
from rankloom_plugins.splits.fold_in import FoldIn
from rankloom_plugins.splits.leave_last_out import LeaveLastOut
from rankloom_plugins.splits.plugin import (
    ColdItemsConfig,
    FilesConfig,
    FoldInConfig,
    LeaveLastOutConfig,
    RandomConfig,
)
from rankloom_plugins.splits.random import RandomSplit, part_sizes

Event = tuple[int, int, float, int]
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 3), st.integers(0, 9), st.sampled_from([1.0, 4.0, 5.0]), st.integers(0, 6)
    ),
    min_size=1,
    max_size=60,
)


def make(events: list[Event], *, min_value: float | None = None, timed: bool = True) -> Dataset:
    if currently_in_test_context():
        assume(min_value is None or any(event[2] >= min_value for event in events))
    users, items, values, times = (torch.tensor(column) for column in zip(*events, strict=True))
    log = Interactions(users, items, values.float(), times, torch.arange(len(events)), timed)
    dataset = Dataset(
        table_of_ids("item", pl.Series([f"i{n}" for n in range(max(10, int(items.max()) + 1))])),
        table_of_ids("user", pl.Series([f"u{n}" for n in range(max(4, int(users.max()) + 1))])),
        log,
        torch.ones(len(events), dtype=torch.bool),
    )
    return apply_positive(dataset, min_value)


def splits() -> list[Split]:
    build = Build()
    return [
        LeaveLastOut(LeaveLastOutConfig(), build),
        RandomSplit(RandomConfig(), build),
        ColdItems(ColdItemsConfig(), build),
        ColdItems(ColdItemsConfig(warm_test=0.2), build),
        FoldIn(FoldInConfig(fraction=0.3, validation_fraction=0.3, support=2), build),
        GivenFiles(FilesConfig(), build),
    ]


def attempt(split: Split, dataset: Dataset, seed: int = 0) -> SplitResult | None:
    try:
        return split.split(dataset, seed)
    except DataError as error:
        assert "0 rows" in str(error)  # noqa: PT017
        return None


def parts(result: SplitResult) -> list[set[int]]:
    rows = (result.train, result.validation.targets, result.test.targets)
    return [set(part.tolist()) for part in rows]


@settings(max_examples=80, deadline=None)
@given(EVENTS, st.sampled_from([None, 4.0]), st.booleans())
def test_parts_are_disjoint_cover_and_are_not_seen(
    events: list[Event], min_value: float | None, timed: bool
) -> None:
    dataset = make(events, min_value=min_value, timed=timed)
    given_split = torch.arange(len(events)) % 3 == 0
    object.__setattr__(dataset, "given_split", given_split.to(torch.int8))
    for split in splits():
        result = attempt(split, dataset)
        if result is None:
            continue
        train, validation, test = parts(result)
        assert not train & validation
        assert not train & test
        assert not validation & test
        n_pseudo = 0
        if isinstance(split, ColdItems | FoldIn):
            assert result.refit is not None
            n_pseudo = len(set(result.refit.tolist()) - train - validation)
            assert train <= set(result.refit.tolist())
            assert not test & set(result.refit.tolist())
        if isinstance(split, FoldIn):  # the support of the test users
            n_pseudo += len(result.test.history)
        n = len(train) + len(validation) + len(test) + n_pseudo + sum(result.dropped.values())
        assert n == len(events)
        for phase in (result.validation, result.test):
            assert not set(phase.targets.tolist()) & set(phase.history.tolist())
            assert bool(phase.candidates[dataset.interactions.items[phase.targets]].all())
        if not isinstance(split, GivenFiles):
            assert bool(dataset.positive[result.test.targets].all())
            assert_targets_can_be_found(dataset, result)


def assert_targets_can_be_found(dataset: Dataset, result: SplitResult) -> None:
    """No target is an item that the protocol leaves out of its user's ranking."""
    log = dataset.interactions
    pairs = log.users * 1000 + log.items
    for phase in (result.validation, result.test):
        assert not set(pairs[phase.targets].tolist()) & set(pairs[phase.excluded].tolist())


@settings(max_examples=80, deadline=None)
@given(EVENTS, st.sampled_from([None, 4.0]))
def test_leave_last_out_sees_only_the_past(events: list[Event], min_value: float | None) -> None:
    dataset = make(events, min_value=min_value)
    result = attempt(LeaveLastOut(LeaveLastOutConfig(), Build()), dataset)
    if result is None:
        return
    log = dataset.interactions

    def moments(rows: torch.Tensor, user: int) -> list[tuple[int, int]]:
        own = rows[log.users[rows] == user]
        return list(zip(log.times[own].tolist(), log.rows[own].tolist(), strict=True))

    for user in log.users[result.test.targets].tolist():
        train = moments(result.train, user)
        (validation,) = moments(result.validation.targets, user)
        (test,) = moments(result.test.targets, user)
        assert all(moment < validation for moment in train)
        assert validation < test
        assert sorted(moments(result.test.history, user)) == sorted([*train, validation])


def test_leave_last_out_by_hand() -> None:
    events = [
        (0, 0, 5.0, 1),
        (0, 1, 1.0, 2),
        (0, 3, 5.0, 9),  # tied with the next: the later row is the last
        (0, 2, 5.0, 9),
        (0, 4, 1.0, 9),  # no positive, later than the validation row
        (1, 0, 5.0, 1),
        (1, 1, 5.0, 2),  # two positives: all training
    ]
    dataset = make(events, min_value=4)  # type: ignore[arg-type]
    result = LeaveLastOut(LeaveLastOutConfig(), Build()).split(dataset, 0)
    assert parts(result) == [{0, 1, 5, 6}, {2}, {3}]
    assert list(result.dropped.values()) == [1]
    assert result.test.excluded.tolist() == [0, 1, 2, 5, 6]
    assert result.refit is None
    assert not result.card.request_time
    with pytest.raises(DataError, match=r"'leave_last_out': validation has 0 rows\. No user has 4"):
        LeaveLastOut(LeaveLastOutConfig(min_history=2), Build()).split(dataset, 0)


def test_leave_last_out_refuses_positives_without_a_time() -> None:
    dataset = make([(0, item, 5.0, item) for item in range(5)])
    object.__setattr__(dataset, "report", {WITHOUT_TIME: 1})
    with pytest.raises(DataError, match="1 positives of the data have no time"):
        LeaveLastOut(LeaveLastOutConfig(), Build()).split(dataset, 0)


def recbole_sizes(total: int, ratios: list[float]) -> list[int]:
    """``recbole.data.dataset.Dataset._calcu_split_ids``, without its last step."""
    count = [int(ratio * total) for ratio in ratios]
    count[0] = total - sum(count[1:])
    for i in range(1, len(ratios)):
        if count[0] <= 1:
            break
        if 0 < ratios[-i] * total < 1:
            count[-i] += 1
            count[0] -= 1
    return count


def test_random_sizes_are_recboles() -> None:
    counts = np.arange(1, 800)
    sizes = part_sizes(counts, 0.8, 0.1, 0.1)
    assert sizes.tolist() == [recbole_sizes(n, [0.8, 0.1, 0.1]) for n in range(1, 800)]


def test_seeds_change_what_is_drawn_and_repeat_it() -> None:
    events = [(user, item, 5.0, item) for user in range(4) for item in range(30)]
    dataset = make(events)
    build = Build()
    for split in (
        RandomSplit(RandomConfig(), build),
        ColdItems(ColdItemsConfig(), build),
        ColdItems(ColdItemsConfig(warm_test=0.1), build),
        FoldIn(FoldInConfig(fraction=0.25, validation_fraction=0.25), build),
    ):
        assert parts(split.split(dataset, 1)) == parts(split.split(dataset, 1))
        assert parts(split.split(dataset, 1)) != parts(split.split(dataset, 2))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.integers(0, 5))
def test_cold_items_are_drawn_from_every_decile(popularity: list[int], seed: int) -> None:
    counts = np.array(popularity)
    chosen = draw_stratified(counts, 0.2, np.random.default_rng(seed))
    known = counts > 0
    assert not chosen[~known].any()
    assert chosen.sum() == round(0.2 * known.sum())
    # the same share everywhere: of the k least popular, within a stratum, a fifth is chosen
    for limit in range(1, 31):
        below = known & (counts <= limit)
        assert abs(chosen[below].sum() - 0.2 * below.sum()) <= 0.2 * known.sum() / 10 + 1.5


def test_cold_items_by_hand() -> None:
    dataset = make([(user, item, 5.0, item) for user in range(4) for item in range(20)])
    result = ColdItems(ColdItemsConfig(), Build()).split(dataset, 3)
    items = dataset.interactions.items
    cold, pseudo = result.test.candidates, result.validation.candidates
    assert (int(cold.sum()), int(pseudo.sum())) == (4, 3)
    assert not bool((cold & pseudo).any())
    assert not bool((cold | pseudo)[items[result.train]].any())
    assert result.refit is not None
    assert len(result.refit) == 16 * 4
    assert torch.equal(result.refit, result.test.history)
    assert len(result.test.targets) == 4 * 4


def test_given_files() -> None:
    dataset = make([(user, item, 5.0, item) for user in range(4) for item in range(10)])
    split = GivenFiles(FilesConfig(refit=True), Build())
    with pytest.raises(DataError, match="comes divided"):
        split.split(dataset, 0)
    given_test = (torch.arange(40) >= 20).to(torch.int8)
    object.__setattr__(dataset, "given_split", given_test)
    result = split.split(dataset, 0)
    assert len(result.validation.targets) == 1
    assert result.test.targets.tolist() == list(range(20, 40))
    assert result.test.history.tolist() == list(range(20))
    assert result.refit is not None
    assert result.refit.tolist() == list(range(20))


def test_shares_must_add_up() -> None:
    with pytest.raises(ValidationError, match=r"add up to 1, not 1\.1"):
        RandomConfig(train=0.9)
