"""A trained vector for each category."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rankloom.errors import ConfigError, DataError
from rankloom.protocols import Build, Features
from rankloom_plugins.tabular.multi_hot import MultiHotEncoder
from rankloom_plugins.tabular.plugin import CategoryConfig

__all__ = ["CategoryEncoder"]


class CategoryEncoder(MultiHotEncoder):
    """One category a value; one that training has not seen is missing.

    Args:
        config: Settings.
        build: ``field`` must be an item or user field with one value a row.

    Raises:
        ConfigError: The field's values are lists.
    """

    def __init__(self, config: CategoryConfig, build: Build) -> None:
        super().__init__(config, build)
        if self.field.multiple:
            raise ConfigError(
                f"category: values of {self.field.name!r} are lists. Use 'multi_hot' for it."
            )

    def collate(self, values: Sequence[Any]) -> Features:
        """Number the categories: ``numbers [n, 1]`` int64, 0 where missing.

        Raises:
            DataError: A value is a list of several.
        """
        features = super().collate(values)
        if features["numbers"].shape[1] > 1:
            bad = next(v for v in values if isinstance(v, list | tuple) and len(v) > 1)
            raise DataError(
                f"category: the value {bad!r} of {self.field.name!r} is a list. Use 'multi_hot'."
            )
        return features
