"""Queries of a phase in blocks, and raw fields of users and requests."""

from __future__ import annotations

import pytest
import torch

from rankloom.data.dataset import Dataset, Phase
from rankloom.pipeline.phases import PhaseQueries
from rankloom.pipeline.query_fields import QueryFields
from rankloom.protocols import QueryBatch
from rankloom.testing import World, make_world

from .parts import Plain


@pytest.fixture
def world() -> World:
    return make_world()


def _phase(world: World) -> tuple[Dataset, Phase]:
    log, positive = world.train.interactions, world.train.positive
    dataset = Dataset(world.items, world.users, log, positive)
    rows = torch.arange(len(log))
    last = torch.stack([rows[log.users == user][-1] for user in range(5)])
    rest = rows[~torch.isin(rows, last)]
    return dataset, Phase(last, rest, rest, torch.ones(12).bool())


@pytest.mark.parametrize("size", [1, 2, 100])
def test_blocks_do_not_depend_on_their_size(world: World, size: int) -> None:
    dataset, phase = _phase(world)
    queries = PhaseQueries(dataset, phase, QueryFields({}, {}))
    log, positive = dataset.interactions, dataset.positive
    users: list[int] = []
    for batch, targets, values in queries.blocks(size):
        assert len(batch) <= size
        assert len(values) == len(targets.values)
        for row, user in enumerate(batch.users.tolist()):
            users.append(user)
            own = phase.targets[(log.users[phase.targets] == user) & positive[phase.targets]]
            assert targets[row].tolist() == log.items[own].tolist()
            known = phase.history[log.users[phase.history] == user]
            past = known[positive[known]]
            assert batch.history.items[row].tolist() == log.items[past].tolist()
            assert set(batch.seen[row].tolist()) == set(log.items[known].tolist())
            assert int(batch.times[row]) == int(log.times[own[0]])
    targeted = phase.targets[positive[phase.targets]]
    assert users == sorted(set(log.users[targeted].tolist()))
    assert len(queries) == len(users)


def test_validation_masks_what_the_protocol_excludes(world: World) -> None:
    dataset, phase = _phase(world)
    queries = PhaseQueries(dataset, phase, QueryFields({}, {}))
    data = queries.validation(2, seed=1)
    for _ in range(2):  # as often as needed
        for block in data:
            allowed = block.candidates.allowed(len(block.queries))
            assert not allowed[block.queries.seen.row_ids(), block.queries.seen.values].any()
            assert allowed[block.targets.row_ids(), block.targets.values].all()


def test_ratings_are_rows_with_a_value(world: World) -> None:
    dataset, phase = _phase(world)
    blocks = list(PhaseQueries(dataset, phase, QueryFields({}, {})).ratings(2))
    log = dataset.interactions
    rows = phase.targets[~log.values[phase.targets].isnan()]
    assert torch.cat([block.values for block in blocks]).tolist() == log.values[rows].tolist()
    items = torch.cat([block.candidates.items for block in blocks])
    assert items[:, 0].tolist() == log.items[rows].tolist()
    assert sum(len(block.queries) for block in blocks) == len(rows)


def _fields(world: World) -> QueryFields:
    encoders = {"m.age": Plain(), "m.hour": Plain()}
    fields = QueryFields(encoders, {"m.age": "user.age", "m.hour": "context.hour"})
    fields.load(world.users, None)
    return fields


def test_stored_values_of_known_users_alone(world: World) -> None:
    ages = world.users.values("age")
    users = torch.tensor([1, -1, 99, 0])
    picked = world.queries.select(torch.arange(4))
    asked = QueryBatch(users, picked.history, picked.seen, picked.times)
    found = _fields(world).attach(asked)
    age = found.features("m.age")
    assert age.present.tolist() == [ages[1] is not None, False, False, ages[0] is not None]
    assert age["x"][0, 0].item() == pytest.approx(float(ages[1] or 0))
    assert not found.features("m.hour").present.any()  # nothing was given


def test_values_of_a_request_go_before_stored_ones(world: World) -> None:
    asked = world.queries.select(torch.tensor([0, 1, 5]))
    given = {"user.age": [77.0, None, 5.0], "context.hour": [None, 8.0, None]}
    found = _fields(world).attach(asked, given)
    age, stored = found.features("m.age"), world.users.values("age")
    assert age["x"][:, 0].tolist() == [77.0, float(stored[1] or 0), 5.0]
    assert found.features("m.hour").present.tolist() == [False, True, False]


def test_no_declared_field_costs_nothing(world: World) -> None:
    assert QueryFields({}, {}).attach(world.queries) is world.queries
