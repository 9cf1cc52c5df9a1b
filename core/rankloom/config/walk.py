"""Every component config inside a config, with where it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from rankloom.components import ComponentConfig
from rankloom.config.explain import Loc

__all__ = ["components"]


def components(value: Any, loc: Loc = ()) -> Iterator[tuple[Loc, ComponentConfig]]:
    """Yield all component configs in ``value``, outer ones first."""
    if isinstance(value, ComponentConfig):
        yield loc, value
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from components(getattr(value, name), (*loc, name))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from components(inner, (*loc, str(key)))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from components(inner, (*loc, index))
