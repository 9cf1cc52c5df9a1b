"""Settings of the components that the kit is tried on; light, as a manifest has to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import ConfigDict, PrivateAttr, field_serializer

from rankloom import ComponentConfig, EncoderConfig


class PlainConfig(ComponentConfig):
    """Settings without a fault."""

    type: Literal["plain"] = "plain"
    strength: float = 1.5
    """A number."""


class PlainEncoderConfig(EncoderConfig):
    """Settings of an encoder without a fault."""

    type: Literal["plain"] = "plain"


class NeedsSomething(PlainConfig):
    """Has a setting without a default."""

    path: str
    """Where it is."""


class Assignable(PlainConfig):
    """Can be changed."""

    model_config = ConfigDict(frozen=False)


class IgnoresUnknown(PlainConfig):
    """Takes anything."""

    model_config = ConfigDict(extra="ignore")


class Rounds(PlainConfig):
    """Loses something on the way through JSON."""

    @field_serializer("strength")
    def _rounded(self, value: float) -> int:
        return round(value)


class Undescribed(PlainConfig):
    """Has a setting that nobody explains."""

    silent: int = 0


def _code() -> Callable[[], int]:
    return lambda: 1


_CODE = _code()


class HoldsCode(PlainConfig):
    """Cannot be pickled."""

    _call: Callable[[], int] = PrivateAttr(default_factory=lambda: _CODE)
