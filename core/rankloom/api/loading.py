"""From a config (or data frames) to a data set and its split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rankloom.config import PipelineConfig
from rankloom.data.dataset import Dataset, SplitResult
from rankloom.data.positives import prepare_dataset
from rankloom.errors import ConfigError, DataError
from rankloom.protocols import Build
from rankloom.registry import Registry

__all__ = ["load_dataset", "make_split"]


def load_dataset(
    config: PipelineConfig,
    registry: Registry,
    base_dir: Path,
    frames: Mapping[str, Any] | None = None,
    share: float = 1.0,
) -> Dataset:
    """Load, check and prepare the data.

    Args:
        config: The pipeline.
        registry: Where the source is looked up.
        base_dir: Where relative paths start.
        frames: ``interactions``, ``items`` and ``users`` data frames instead of the source's files.
        share: Keep this share of the users, and of the items that they did not meet (a dry run).

    Raises:
        ConfigError: Frames were given to a source that reads none.
        DataError: The data is wrong.
    """
    data = config.data
    build = Build(base_dir=base_dir, seed=config.seed)
    given = {name: frame for name, frame in (frames or {}).items() if frame is not None}
    if given and "interactions" not in given and data.source is None:
        raise DataError(
            f"fit got {' and '.join(given)} without interactions. Give the log too: "
            f"fit(interactions=frame, {', '.join(f'{name}=frame' for name in given)})."
        )
    if given:
        settings = data.source or registry.get("source", "tables").config(type="tables")
        source_class = registry.implementation(registry.get("source", settings.type))
        if not hasattr(source_class, "from_frames"):
            raise ConfigError(
                f"data.source: {settings.type!r} reads no data frames; use {{type: tables}}."
            )
        source = source_class.from_frames(settings, build, **{"interactions": None, **given})
    elif data.source is None:
        raise ConfigError(
            "data.source: nothing says where the data is. Name a source, for example "
            "{type: movielens, path: data/ml-latest-small}, or call .fit(interactions=frame)."
        )
    else:
        source = registry.build("source", data.source, build)
    dataset: Dataset = source.load()
    if share < 1.0:
        dataset = _sample(dataset, share, config.seed)
    return prepare_dataset(
        dataset,
        min_value=data.positive.min_value,
        k_core=data.k_core,
        duplicates=data.duplicates,
    )


def make_split(config: PipelineConfig, registry: Registry, dataset: Dataset) -> SplitResult:
    """Divide the data as ``data.split`` says."""
    split = registry.build("split", config.data.split, Build(seed=config.seed))
    result: SplitResult = split.split(dataset, config.seed)
    return result


#: A dry run keeps at least so many users, and so many items that they did not meet.
_FEWEST_USERS, _FEWEST_ITEMS = 20, 100


def _sample(dataset: Dataset, share: float, seed: int) -> Dataset:
    """Keep all interactions of a few users, so that every stage still has something to do."""
    generator = torch.Generator().manual_seed(seed)
    log = dataset.interactions
    kept = _some(torch.unique(log.users), share, _FEWEST_USERS, generator)
    mask = torch.isin(log.users, kept)
    met = torch.zeros(len(dataset.items), dtype=torch.bool)
    met[log.items[mask]] = True
    others = _some((~met).nonzero()[:, 0], share, _FEWEST_ITEMS, generator)
    met[others] = True
    log = log.select(mask)
    position = met.cumsum(0) - 1
    given = None if dataset.given_split is None else dataset.given_split[mask]
    return Dataset(
        dataset.items.select(met.nonzero()[:, 0].tolist()),
        dataset.users,
        replace(log, items=position[log.items]),
        dataset.positive[mask],
        dataset.report,
        given,
        dataset.name,
    )


def _some(values: Tensor, share: float, fewest: int, generator: torch.Generator) -> Tensor:
    """Draw a share of some values, but not fewer than there should be."""
    count = min(len(values), max(fewest, round(len(values) * share)))
    return values[torch.randperm(len(values), generator=generator)[:count]]
