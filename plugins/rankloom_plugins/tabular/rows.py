"""Which fields an encoder may learn from, and what counts as missing."""

from __future__ import annotations

import math
from typing import Any

from rankloom.data.fields import FieldSpec
from rankloom.errors import ConfigError
from rankloom.protocols import Build

__all__ = ["is_missing", "table_field"]


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


def is_missing(value: Any) -> bool:
    """True for None, NaN and blank text."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and not value.strip())
