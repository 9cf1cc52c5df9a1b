"""``fold_in`` against a loop over users."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rankloom.data.assembly import WITHOUT_TIME
from rankloom.errors import DataError
from rankloom.evaluation import check_disjoint, check_order
from rankloom.protocols import Build
from rankloom_plugins.splits.fold_in import FoldIn
from rankloom_plugins.splits.plugin import FoldInConfig

from .test_splits import EVENTS, Event, attempt, make


@settings(max_examples=80, deadline=None)
@given(EVENTS, st.integers(0, 5), st.integers(1, 3))
def test_support_and_targets_by_hand(events: list[Event], seed: int, support: int) -> None:
    dataset = make(events, min_value=4.0)
    config = FoldInConfig(fraction=0.4, validation_fraction=0.4, support=support)
    result = attempt(FoldIn(config, Build()), dataset, seed)
    if result is None:
        return
    check_disjoint(result)
    log = dataset.interactions
    phases = (result.validation, result.test)
    for phase in phases:
        check_order(log, phase)
        assert torch.equal(phase.history, phase.excluded)
    judged = [set(log.users[phase.targets].tolist()) for phase in phases]
    assert not judged[0] & judged[1]
    assert result.refit is not None
    for user in range(4):
        rows = [r for r in range(len(events)) if events[r][0] == user]
        rows.sort(key=lambda r: (events[r][3], r))
        positives = [r for r in rows if events[r][2] >= 4]
        part = next((i for i, users in enumerate(judged) if user in users), None)
        in_train = set(result.train.tolist()) & set(rows)
        in_refit = set(result.refit.tolist()) & set(rows)
        assert in_train == (set(rows) if part is None else set())
        assert in_refit == (set() if part == 1 else set(rows))
        if part is None:
            continue
        last = rows.index(positives[support - 1])
        known, seen = rows[: last + 1], {events[r][1] for r in rows[: last + 1]}
        targets = []
        for row in rows[last + 1 :]:
            if events[row][2] >= 4 and events[row][1] not in seen:
                targets.append(row)
            seen.add(events[row][1])
        phase = phases[part]
        assert sorted(set(phase.history.tolist()) & set(rows)) == sorted(known)
        assert sorted(set(phase.targets.tolist()) & set(rows)) == sorted(targets)


def test_shares_are_of_users_with_enough_positives() -> None:
    events = [(user, item, 5.0, item) for user in range(20) for item in range(12)]
    events += [(user, item, 5.0, item) for user in range(20, 50) for item in range(10)]
    dataset = make(events)
    result = FoldIn(FoldInConfig(), Build()).split(dataset, 1)
    users = dataset.interactions.users
    tested = torch.unique(users[result.test.targets])
    judged = torch.unique(users[result.validation.targets])
    assert (len(tested), len(judged)) == (4, 2)
    assert int(tested.max()) < 20
    assert torch.equal(torch.bincount(users[result.test.history])[tested], torch.full((4,), 10))
    assert len(torch.unique(users[result.train])) == 44


def test_mistakes_say_what_to_do() -> None:
    dataset = make([(user, item, 5.0, item) for user in range(4) for item in range(8)])
    with pytest.raises(DataError, match=r"0 rows\. Too few users have more than 10 positives"):
        FoldIn(FoldInConfig(), Build()).split(dataset, 0)
    object.__setattr__(dataset, "report", {WITHOUT_TIME: 1})
    with pytest.raises(DataError, match="The split 'fold_in' needs to know what came last"):
        FoldIn(FoldInConfig(support=2), Build()).split(dataset, 0)
    with pytest.raises(ValidationError, match=r"add up to 1\.2, which must be below 1"):
        FoldInConfig(fraction=0.6, validation_fraction=0.6)
