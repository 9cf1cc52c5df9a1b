"""Duplicates, positives and k-core, against brute force."""

from __future__ import annotations

from collections import Counter

import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.data.dataset import Dataset
from rankloom.data.fingerprint import fingerprint
from rankloom.data.frames import table_of_ids
from rankloom.data.interactions import Interactions
from rankloom.data.positives import apply_positive, drop_duplicates, k_core, prepare_dataset
from rankloom.errors import DataError

Event = tuple[int, int, float, int]
EVENTS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 5), st.sampled_from([1.0, 4.0]), st.integers(0, 3)),
    min_size=1,
    max_size=40,
)


def make(events: list[Event], *, rated: bool = True, timed: bool = True) -> Dataset:
    users, items, values, times = (torch.tensor(column) for column in zip(*events, strict=True))
    ids = pl.Series([str(n) for n in range(6)])
    return Dataset(
        table_of_ids("item", ids),
        table_of_ids("user", ids),
        Interactions(
            users,
            items,
            values.float() if rated else torch.full((len(events),), torch.nan),
            times,
            torch.arange(len(events)) + 2,
            timed,
        ),
        torch.ones(len(events), dtype=torch.bool),
        name="log.csv",
    )


def rows(dataset: Dataset) -> set[int]:
    return set((dataset.interactions.rows - 2).tolist())


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.booleans(), st.booleans(), st.sampled_from(["first", "last"]))
def test_duplicates_against_brute_force(
    events: list[Event], rated: bool, timed: bool, keep: str
) -> None:
    dataset = make(events, rated=rated, timed=timed)
    groups: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for row, (user, item, _, time) in enumerate(events):
        key = (user, item) if rated or not timed else (user, item, time)
        groups.setdefault(key, []).append((time, row))
    pick = min if keep == "first" else max
    kept = drop_duplicates(dataset, keep)  # type: ignore[arg-type]
    assert rows(kept) == {pick(group)[1] for group in groups.values()}
    dropped = len(events) - len(groups)
    assert kept.report.get("duplicates dropped", 0) == dropped


def test_duplicates_as_an_error_name_both_rows() -> None:
    dataset = make([(1, 2, 4.0, 0), (1, 3, 4.0, 0), (1, 2, 1.0, 5)])
    with pytest.raises(DataError, match=r"log.csv, row 4: user '1' and item '2' stand in row 2"):
        prepare_dataset(dataset, duplicates="error")
    assert len(make([(1, 2, 4.0, 0)]).interactions) == 1
    clicks = make([(1, 2, 4.0, 0), (1, 2, 4.0, 5)], rated=False)
    assert drop_duplicates(clicks, "error") is clicks


def test_positives() -> None:
    dataset = make([(0, 0, 4.0, 0), (0, 1, 1.0, 0)])
    assert apply_positive(dataset, 4).positive.tolist() == [True, False]
    assert apply_positive(dataset, None).positive.tolist() == [True, True]
    with pytest.raises(DataError, match="values go from 1 to 4"):
        apply_positive(dataset, 5)
    with pytest.raises(DataError, match="have no values"):
        apply_positive(make([(0, 0, 4.0, 0)], rated=False), 4)


def test_an_event_without_a_value_is_no_positive_of_a_threshold() -> None:
    dataset = make([(0, 0, 4.0, 0), (0, 1, float("nan"), 0)])
    assert apply_positive(dataset, 1).positive.tolist() == [True, False]


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.integers(2, 4))
def test_k_core_against_brute_force(events: list[Event], k: int) -> None:
    dataset = apply_positive(make([*events, (5, 5, 4.0, 0)]), 4)
    alive = [e for e in [*events, (5, 5, 4.0, 0)] if e[2] >= 4]
    while True:
        users, items = Counter(e[0] for e in alive), Counter(e[1] for e in alive)
        fewer = [e for e in alive if users[e[0]] >= k and items[e[1]] >= k]
        if len(fewer) == len(alive):
            break
        alive = fewer
    if not alive:
        with pytest.raises(DataError, match=f"the {k}-core is empty"):
            k_core(dataset, k)
        return
    core = k_core(dataset, k)
    assert set(core.users.ids.ids) == {str(u) for u in users}
    assert set(core.items.ids.ids) == {str(i) for i in items}
    log = core.interactions
    found = zip(core.users.ids.external(log.users), core.items.ids.external(log.items), strict=True)
    left = [(str(e[0]), str(e[1])) for e in events if e[0] in users and e[1] in items]
    assert list(found) == left


def test_fingerprint_sees_contents_and_not_names() -> None:
    events = [(0, 0, 4.0, 0), (0, 1, 1.0, 0)]
    one = fingerprint(make(events))
    assert len(one) == 64
    assert one == fingerprint(make(events))
    assert one != fingerprint(make(events, timed=False))
    assert one != fingerprint(make([(0, 0, 4.0, 0), (0, 1, 1.0, 1)]))
    assert one != fingerprint(apply_positive(make(events), 4))
