"""Manifest of the splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from rankloom import ComponentConfig, component, hookimpl
from rankloom.components import ComponentSpec

__all__ = [
    "ColdItemsConfig",
    "FilesConfig",
    "FoldInConfig",
    "LeaveLastOutConfig",
    "RandomConfig",
]


class LeaveLastOutConfig(ComponentConfig):
    """Each user's last positive is the test, the one before it the validation."""

    type: Literal["leave_last_out"] = "leave_last_out"
    min_history: int = Field(default=1, ge=1)
    """Positives that must remain for training; users with fewer than two more are all training."""


class RandomConfig(ComponentConfig):
    """Each user's positives are divided at random."""

    type: Literal["random"] = "random"
    train: float = Field(default=0.8, gt=0, lt=1)
    """Share of the training positives."""
    validation: float = Field(default=0.1, gt=0, lt=1)
    """Share of the validation positives."""
    test: float = Field(default=0.1, gt=0, lt=1)
    """Share of the test positives."""

    @model_validator(mode="after")
    def _whole(self) -> RandomConfig:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"'train', 'validation' and 'test' must add up to 1, not {total:g}")
        return self


class ColdItemsConfig(ComponentConfig):
    """Some items lose all their interactions and are ranked among themselves."""

    type: Literal["cold_items"] = "cold_items"
    fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of the items that are cold at test time, the same in every popularity decile."""
    validation_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of the other items that are made cold to choose settings on."""
    warm_test: float = Field(default=0.0, ge=0, lt=0.5)
    """Share of each user's positives with other items that is held out too: as much for the test
    and for validation. All items are candidates then, and ``evaluate`` reports warm and cold items
    apart; 0: cold items alone are judged, ranked among themselves."""


class FoldInConfig(ComponentConfig):
    """Some users are in no training; a few of their positives are known, the rest judged."""

    type: Literal["fold_in"] = "fold_in"
    fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of the users (those with enough positives) that the test is made of."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of the users with enough positives that settings are chosen on."""
    support: int = Field(default=10, ge=1)
    """First positives of each of them that are its history; the later ones are to be found."""

    @model_validator(mode="after")
    def _someone_is_left(self) -> FoldInConfig:
        total = self.fraction + self.validation_fraction
        if total >= 1:
            raise ValueError(
                f"'fraction' and 'validation_fraction' must leave users for training: they add up "
                f"to {total:g}, which must be below 1"
            )
        return self


class FilesConfig(ComponentConfig):
    """The division into training and test that the source's files give."""

    type: Literal["files"] = "files"
    validation: float = Field(default=0.05, gt=0, lt=1)
    """Share of the given training rows that are held out at random to choose settings on."""
    refit: bool = False
    """Fit again on all given training rows, with the chosen settings, before the test."""


@hookimpl
def register_splits() -> Sequence[ComponentSpec]:
    """Register the built-in splits."""
    return [
        component(LeaveLastOutConfig, "rankloom_plugins.splits.leave_last_out:LeaveLastOut"),
        component(RandomConfig, "rankloom_plugins.splits.random:RandomSplit"),
        component(ColdItemsConfig, "rankloom_plugins.splits.cold_items:ColdItems"),
        component(FoldInConfig, "rankloom_plugins.splits.fold_in:FoldIn"),
        component(FilesConfig, "rankloom_plugins.splits.files:GivenFiles"),
    ]
