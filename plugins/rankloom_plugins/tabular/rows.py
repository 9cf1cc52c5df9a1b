"""Which rows of which table an encoder may learn from."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from rankloom.data.fields import FieldSpec
from rankloom.errors import ConfigError
from rankloom.protocols import Build, TrainData

__all__ = ["is_missing", "known_rows", "table_field", "training_values"]


def table_field(build: Build, component: str) -> FieldSpec:
    """Return the field, which must belong to the item or the user table.

    Raises:
        ConfigError: It does not: nothing could be learned about it before the fit.
    """
    field = build.field
    if field is None or field.side not in ("item", "user"):
        name = "no field" if field is None else repr(field.name)
        raise ConfigError(
            f"{component}: it reads fields of items and users (item.genres, user.age), not {name}. "
            "Set 'field' to one of these."
        )
    return field


def known_rows(train: TrainData, field: FieldSpec) -> Tensor:
    """``[rows]`` bool: the universe for an item field, the known users for a user field."""
    return train.universe if field.side == "item" else train.known_users


def training_values(train: TrainData, field: FieldSpec) -> list[Any]:
    """Raw values of the rows with training data: no statistic may see any other."""
    table = train.items if field.side == "item" else train.users
    rows: list[int] = torch.nonzero(known_rows(train, field))[:, 0].tolist()
    return table.values(field.name, rows)


def is_missing(value: Any) -> bool:
    """True for None, NaN and blank text."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and not value.strip())
