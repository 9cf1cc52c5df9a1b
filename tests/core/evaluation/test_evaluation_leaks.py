"""Leak detectors: silent on what is right, loud on each wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from rankloom.data.dataset import Phase, ProtocolCard, SplitResult
from rankloom.data.ids import IdMap
from rankloom.data.interactions import Interactions
from rankloom.data.tables import Table
from rankloom.errors import DataError
from rankloom.evaluation import (
    check_disjoint,
    check_order,
    check_reachable,
    check_universe,
    tied_share,
    training_hash,
)
from rankloom.protocols import State, TrainData


def rows(*positions: int) -> torch.Tensor:
    return torch.tensor(positions, dtype=torch.long)


def log() -> Interactions:
    """Two users with four events each; the last two of user 1 are tied in time."""
    return Interactions(
        users=rows(0, 0, 0, 0, 1, 1, 1, 1),
        items=rows(0, 1, 2, 3, 1, 2, 0, 4),
        values=torch.ones(8),
        times=rows(1, 2, 3, 4, 1, 2, 3, 3),
        rows=torch.arange(8),
    )


def split() -> SplitResult:
    everything = torch.ones(6, dtype=torch.bool)
    train = rows(0, 1, 4, 5)
    return SplitResult(
        train,
        Phase(rows(2, 6), train, train, everything),
        Phase(rows(3, 7), rows(0, 1, 2, 4, 5, 6), rows(0, 1, 2, 4, 5, 6), everything),
        ProtocolCard("leave-last-out", "", "", "", "", ""),
    )


def test_a_right_split_passes() -> None:
    check_disjoint(split())
    check_order(log(), split().validation)
    check_order(log(), split().test)
    assert check_reachable(log(), split().test) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (replace(split(), train=rows(0, 3)), "the training rows and in the test targets"),
        (replace(split(), train=rows(0, 2)), "the training rows and in the validation targets"),
        (replace(split(), refit=rows(0, 7)), "the refit's rows and in the test targets"),
        (
            replace(split(), test=replace(split().test, history=rows(0, 3))),
            "the test history and in the test targets",
        ),
        (
            replace(split(), validation=replace(split().validation, history=rows(3))),
            "the validation history and in the test targets",
        ),
        (
            replace(split(), validation=replace(split().validation, targets=rows(3))),
            "the validation targets and in the test targets",
        ),
    ],
)
def test_a_shared_row_is_found(wrong: SplitResult, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_disjoint(wrong)


def test_a_history_from_the_future_is_found() -> None:
    phase = replace(split().validation, history=rows(0, 3))
    with pytest.raises(DataError, match=r"position 3 \(user index 0\)"):
        check_order(log(), phase)
    swapped = replace(split().test, targets=rows(6), history=rows(7))
    with pytest.raises(DataError, match="position 7"):
        check_order(log(), swapped)  # tied in time, later in the source


def test_targets_out_of_reach_are_counted() -> None:
    barred = torch.ones(6, dtype=torch.bool)
    barred[4] = False
    phase = replace(split().test, candidates=barred, excluded=rows(3))
    first, second = check_reachable(log(), phase)
    assert first.startswith("1 of 2 targets are no candidates")
    assert second.startswith("1 of 2 targets are excluded")


def test_tied_share_counts_targets() -> None:
    assert tied_share(log(), rows(3, 7)) == 0.5
    assert tied_share(log(), rows()) == 0.0


def test_tied_share_of_movielens(shared_data: Path) -> None:
    found = sorted(shared_data.rglob("u.data"))
    if not found:
        pytest.fail(f"MovieLens 100K (u.data) is not below {shared_data}.")
    users, items, values, times = torch.from_numpy(np.loadtxt(found[0], dtype=np.int64).T)
    log100k = Interactions(users, items, values.float(), times, torch.arange(len(users)))
    order = log100k.order()
    last = torch.cat([users[order][1:] != users[order][:-1], torch.tensor([True])])
    assert tied_share(log100k, order[last]) == pytest.approx(0.44, abs=0.01)


def train_data() -> TrainData:
    items = Table("item", IdMap(range(6)), pl.DataFrame({"id": list(range(6))}))
    users = Table("user", IdMap(range(2)), pl.DataFrame({"id": [0, 1]}))
    universe = torch.tensor([True, True, True, False, False, False])
    kept = log().select(rows(0, 1, 4, 5))
    return TrainData(
        kept, torch.ones(4, dtype=torch.bool), items, users, universe, torch.ones(2).bool()
    )


def test_universe_and_what_was_learned_from_it() -> None:
    counts = torch.tensor([1.0, 2, 1, 0, 0, 0])
    weights = torch.zeros(6, 6)
    weights[:3, :3] = 1
    state = State({"counts": counts, "weights": weights, "scale": torch.tensor(3.0)})
    assert check_universe(train_data(), state) == ("counts", "weights")
    assert check_universe(train_data()) == ()
    unknown = State({"counts": torch.tensor([1.0, 2, 1, float("nan"), 0, 0])})
    check_universe(train_data(), unknown)
    for name, wrong in (("counts", counts + torch.eye(6)[4]), ("weights", weights + torch.eye(6))):
        with pytest.raises(DataError, match=f"'{name}' knows item [34]"):
            check_universe(train_data(), State({name: wrong}))


def test_embeddings_of_cold_items_must_not_move() -> None:
    before = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    after = before.clone()
    after[:3] += 1
    check_universe(train_data(), State({"table": after}), State({"table": before}))
    after[5, 1] += 1e-6
    with pytest.raises(DataError, match="knows item 5"):
        check_universe(train_data(), State({"table": after}), State({"table": before}))


def test_everything_known_is_fine() -> None:
    data = train_data()
    full = replace(data, universe=torch.ones(3, dtype=torch.bool))
    assert check_universe(full, State({"counts": torch.ones(3)})) == ("counts",)


def test_a_wrong_universe_is_found() -> None:
    wrong = replace(train_data(), universe=torch.tensor([True] * 4 + [False] * 2))
    with pytest.raises(DataError, match="first of index 3"):
        check_universe(wrong)


def test_the_hash_tells_training_rows_apart() -> None:
    a = log().select(rows(0, 1, 4, 5))
    assert training_hash(a) == training_hash(log().select(rows(0, 1, 4, 5)))
    assert training_hash(a) != training_hash(log().select(rows(0, 1, 4, 6)))
    assert training_hash(a) != training_hash(replace(a, times=a.times + 1))
