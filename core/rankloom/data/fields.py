"""Typed fields of items, users and queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["MODALITIES", "FieldSpec", "FieldType"]

FieldType = Literal[
    "id", "category", "number", "vector", "timestamp", "text", "image", "audio", "history"
]

MODALITIES: frozenset[str] = frozenset({"text", "image", "audio"})


@dataclass(frozen=True)
class FieldSpec:
    """One field.

    Attributes:
        name: Dotted name: ``item.title``, ``user.age``, ``context.hour``, ``query.text``,
            ``history``.
        type: What its values are.
        multiple: A value is a list (genres of a film).
        length: Width of a ``vector`` field, else 0.
    """

    name: str
    type: FieldType
    multiple: bool = False
    length: int = 0

    @property
    def side(self) -> str:
        """``item``, ``user``, ``context``, ``query`` or ``history``."""
        return self.name.partition(".")[0]
