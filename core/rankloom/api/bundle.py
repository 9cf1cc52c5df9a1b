"""Write a fitted pipeline: safetensors, JSON, YAML and Parquet; never a pickle.

No path of this machine goes in: relative paths of the config start where the reader says.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
from safetensors.torch import save_file
from torch import Tensor, nn

import rankloom
from rankloom.api.fitting import FitLog
from rankloom.config import PipelineConfig
from rankloom.config.walk import components
from rankloom.data.dataset import Dataset
from rankloom.errors import PluginError
from rankloom.pipeline.builder import Parts
from rankloom.protocols import State
from rankloom.registry import Registry

__all__ = [
    "DATA_FILES",
    "FORMAT",
    "ID_COLUMN",
    "file_digest",
    "frozen_keys",
    "manifest_of",
    "write",
]

#: What the reader of this version understands.
FORMAT = 1
#: Column of external ids in the tables.
ID_COLUMN = "__id__"
#: Files whose digests stand in the manifest.
DATA_FILES = (
    "items.parquet",
    "users.parquet",
    "interactions.parquet",
    "data.json",
    "state.safetensors",
    "state.json",
)


def manifest_of(
    config: PipelineConfig, sizes: tuple[int, int], log: FitLog, registry: Registry
) -> dict[str, Any]:
    """Return what a bundle says of itself.

    Args:
        config: The pipeline.
        sizes: Items and users at fit time.
        log: What the fit did.
        registry: Its components and plugins.
    """
    found = (registry.of(one) for _, one in components(config))
    used = {spec.plugin for spec in found if spec is not None}
    versions = {
        info.distribution: info.version
        for info in registry.host.plugins()
        if info.distribution and (info.name in used or info.wraps)
    }
    return {
        "rankloom": rankloom.__version__,
        "name": config.name,
        "sizes": sizes,
        "plugins": versions,
        "fit": log.to_dict(),
    }


def write(
    directory: Path, config: str, dataset: Dataset, parts: Parts, manifest: Mapping[str, Any]
) -> None:
    """Write a bundle atomically: a reader sees the old one or the new one.

    Args:
        directory: Where; an older bundle there is replaced.
        config: The filled config as YAML.
        dataset: Tables and interactions.
        parts: Fitted components.
        manifest: Sizes, versions, metrics.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".bundle-") as temporary:
        target = Path(temporary) / "bundle"
        target.mkdir()
        (target / "config.yaml").write_text(config, encoding="utf-8")
        _write_dataset(target, dataset)
        tensors, meta = _export(parts)
        save_file(
            {k: v.contiguous().clone() for k, v in tensors.items()}, target / "state.safetensors"
        )
        _write_json(target / "state.json", meta)
        digests = {name: file_digest(target / name) for name in DATA_FILES}
        _write_json(target / "manifest.json", {"format": FORMAT, **manifest, "sha256": digests})
        if directory.exists():
            old = Path(temporary) / "old"
            os.replace(directory, old)
        os.replace(target, directory)


def file_digest(path: Path) -> str:
    """Return a file's sha256 as hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _write_dataset(target: Path, dataset: Dataset) -> None:
    fields = {}
    for table in (dataset.items, dataset.users):
        frame = table.frame.with_columns(pl.Series(ID_COLUMN, list(table.ids.ids), dtype=pl.String))
        frame.write_parquet(target / f"{table.side}s.parquet")
        fields[table.side] = {name: asdict(spec) for name, spec in table.fields.items()}
    events = dataset.interactions
    columns = {
        "user": events.users.numpy(),
        "item": events.items.numpy(),
        "value": events.values.numpy(),
        "time": events.times.numpy(),
        "row": events.rows.numpy(),
        "positive": dataset.positive.numpy(),
    }
    if dataset.given_split is not None:
        columns["part"] = dataset.given_split.numpy()
    pl.DataFrame(columns).write_parquet(target / "interactions.parquet")
    _write_json(
        target / "data.json", {"fields": fields, "timed": events.timed, "name": dataset.name}
    )


def _export(parts: Parts) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors: dict[str, Tensor] = {}
    meta: dict[str, Any] = {}
    for key, component in parts.components():
        if hasattr(component, "export_state"):
            state = _checked(key, component, component.export_state())
            meta[key] = dict(state.meta)
            for name, tensor in state.tensors.items():
                tensors[f"state/{key}/{name}"] = tensor
    for key, component in parts.outside():
        if isinstance(component, nn.Module) and not hasattr(component, "export_state"):
            for name, tensor in component.state_dict().items():
                tensors[f"module/{key}/{name}"] = tensor
    for name, model in parts.models.items():
        frozen = frozen_keys(model)
        for key, tensor in model.state_dict().items():
            if key not in frozen:
                tensors[f"model/{name}/{key}"] = tensor
        table = parts.tables[name]
        tensors[f"table/{name}/vectors"] = table.vectors
        tensors[f"table/{name}/present"] = table.present
        for encoder, features in table.features.items():
            tensors[f"present/{name}/{encoder}"] = features.present
            for key, tensor in features.tensors.items():
                tensors[f"features/{name}/{encoder}/{key}"] = tensor
    return tensors, meta


def _checked(key: str, component: Any, state: Any) -> State:
    """Return a component's state if a bundle can hold it and gives it back as it was.

    Raises:
        PluginError: It is no State, or holds something else than tensors and plain JSON.
    """
    who = f"{key}: {type(component).__module__}.{type(component).__qualname__}.export_state()"
    if not isinstance(state, State):
        raise PluginError(
            f"{who} returned {type(state).__qualname__}; it must return rankloom.protocols.State("
            f"tensors, meta)."
        )
    for name, tensor in state.tensors.items():
        if not isinstance(tensor, Tensor):
            raise PluginError(
                f"{who}: {name!r} is {type(tensor).__qualname__}, not a tensor. Convert it, or put "
                f"what JSON can hold into meta."
            )
    meta = dict(state.meta)
    try:
        same = json.loads(json.dumps(meta)) == meta
    except (TypeError, ValueError) as error:
        raise PluginError(f"{who}: meta cannot be written as JSON ({error}).") from error
    if not same:
        raise PluginError(
            f"{who}: meta would not come back from JSON as it is. Use text keys, lists instead of "
            f"tuples and None instead of NaN, or put numbers into tensors."
        )
    return state


def frozen_keys(model: nn.Module) -> set[str]:
    """Return the keys of weights that the config names, so that a bundle need not hold them.

    They lie in modules that say ``pretrained`` and did not train; what trained there is the
    bundle's.
    """
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    inside = tuple(
        f"{name}." for name, module in model.named_modules() if getattr(module, "pretrained", False)
    )
    return {key for key in model.state_dict() if key.startswith(inside) and key not in trained}
