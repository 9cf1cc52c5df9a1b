"""A tiny training set: four items of which the last is cold, three users of which one is new."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
import torch

from rankloom.data.fields import FieldSpec
from rankloom.data.ids import IdMap
from rankloom.data.interactions import Interactions
from rankloom.data.tables import Table
from rankloom.protocols import TrainData


@pytest.fixture
def train() -> TrainData:
    items = pl.DataFrame(
        {
            "genres": [["Comedy", "Drama"], ["Drama"], None, ["Secret", "Drama"]],
            "studio": ["A", "B", "A", "Cold"],
            "year": [1990.0, 2000.0, None, 9999.0],
            "day": [dt.date(2000, 1, 1)] * 4,
        }
    )
    fields = {
        "genres": FieldSpec("item.genres", "category", multiple=True),
        "studio": FieldSpec("item.studio", "category"),
        "year": FieldSpec("item.year", "number"),
    }
    users = pl.DataFrame({"age": [20, 40, 99]})
    ages = {"age": FieldSpec("user.age", "number")}
    n = torch.arange(3)
    log = Interactions(torch.tensor([0, 0, 1]), n, torch.ones(3), n, n)
    return TrainData(
        interactions=log,
        positive=torch.ones(3, dtype=torch.bool),
        items=Table("item", IdMap("abcd"), items, fields),
        users=Table("user", IdMap("xyz"), users, ages),
        universe=torch.tensor([True, True, True, False]),
        known_users=torch.tensor([True, True, False]),
    )
