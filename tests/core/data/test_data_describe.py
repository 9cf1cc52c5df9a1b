"""What ``data describe`` prints, on a log small enough to count by hand."""

from __future__ import annotations

import json

import polars as pl
import torch

from rankloom.data.dataset import Dataset, Phase, ProtocolCard, SplitResult
from rankloom.data.describe import describe, tied_last_share
from rankloom.data.fields import FieldSpec
from rankloom.data.ids import IdMap
from rankloom.data.interactions import Interactions
from rankloom.data.tables import Table


def dataset() -> Dataset:
    frame = pl.DataFrame({"title": ["a", None, "c", "d"]})
    items = Table("item", IdMap("abcd"), frame, {"title": FieldSpec("item.title", "text")})
    users = Table("user", IdMap(["x", "y", "z"]), pl.DataFrame(height=3))
    log = Interactions(
        torch.tensor([0, 0, 0, 1, 1, 1]),
        torch.tensor([0, 1, 2, 0, 1, 3]),
        torch.tensor([5.0, 4.0, 5.0, 4.0, 5.0, 1.0]),
        torch.tensor([10, 20, 20, 30, 40, 50]),
        torch.arange(6),
    )
    return Dataset(items, users, log, log.values >= 4, {"odd": 2}, name="tiny")


def test_facts() -> None:
    facts = describe(dataset())
    assert facts["sizes"]["users"] == 3
    assert facts["sizes"]["positives"] == 5
    assert facts["sizes"]["density"] == 0.5
    assert facts["sizes"]["users with fewer than 3 positives"] == 2
    assert facts["sizes"]["items without a positive"] == 1
    assert facts["values"] == {"1": 1, "4": 2, "5": 3}
    assert facts["times"]["first"] == "1970-01-01T00:00:10Z"
    assert facts["item fields"] == {"title": "text; 25 % missing"}
    assert facts["left out or odd"] == {"odd": 2}
    json.dumps(facts)


def test_ties_are_counted_over_positives() -> None:
    assert tied_last_share(dataset()) == 0.5


def test_what_a_split_makes_of_it() -> None:
    train, test = torch.tensor([0, 1, 3]), torch.tensor([2, 4])
    every = torch.ones(4, dtype=torch.bool)
    card = ProtocolCard("hand", "a", "b", "c", "d", "e")
    phase = Phase(test, train, train, every)
    facts = describe(dataset(), SplitResult(train, phase, phase, card, dropped={"late": 1}))
    split = facts["split"]
    assert split["test targets whose item is cold, share"] == 0.5
    assert split["test users without history, share"] == 0.0
    assert split["rows left out: late"] == 1
    assert facts["protocol"]["name"] == "hand"
    json.dumps(facts)
