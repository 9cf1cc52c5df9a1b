"""A fitted pipeline on disk: safetensors, JSON, YAML and Parquet; never a pickle."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rankloom.data.dataset import Dataset
from rankloom.data.fields import FieldSpec
from rankloom.data.ids import IdMap
from rankloom.data.interactions import Interactions
from rankloom.data.tables import Table
from rankloom.errors import BundleError
from rankloom.pipeline.builder import Parts
from rankloom.protocols import Features, State

__all__ = ["FORMAT", "read_dataset", "read_manifest", "read_parts", "read_weights", "write_bundle"]

FORMAT = 1
_ID = "__id__"


def write_bundle(
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
        _write_json(target / "manifest.json", {"format": FORMAT, **manifest})
        if directory.exists():
            old = Path(temporary) / "old"
            os.replace(directory, old)
        os.replace(target, directory)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, default=str), encoding="utf-8")


def _write_dataset(target: Path, dataset: Dataset) -> None:
    fields = {}
    for table in (dataset.items, dataset.users):
        frame = table.frame.with_columns(pl.Series(_ID, list(table.ids.ids), dtype=pl.String))
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
    for key, component in parts.stateful():
        if hasattr(component, "export_state"):
            state: State = component.export_state()
            meta[key] = dict(state.meta)
            for name, tensor in state.tensors.items():
                tensors[f"state/{key}/{name}"] = tensor
    for name, model in parts.models.items():
        for key, tensor in model.state_dict().items():
            if not _frozen(model, key):
                tensors[f"model/{name}/{key}"] = tensor
        table = parts.tables[name]
        tensors[f"table/{name}/vectors"] = table.vectors
        tensors[f"table/{name}/present"] = table.present
        for encoder, features in table.features.items():
            tensors[f"present/{name}/{encoder}"] = features.present
            for key, tensor in features.tensors.items():
                tensors[f"features/{name}/{encoder}/{key}"] = tensor
    return tensors, meta


def _frozen(model: nn.Module, key: str) -> bool:
    """Weights of a frozen pretrained encoder are named by the config, not copied."""
    for name, module in model.named_modules():
        if getattr(module, "pretrained", False) and key.startswith(f"{name}."):
            return True
    return False


def read_manifest(directory: Path) -> dict[str, Any]:
    """Read and check a bundle's manifest.

    Raises:
        BundleError: No bundle there, or one of another format.
    """
    path = directory / "manifest.json"
    if not path.exists():
        raise BundleError(
            f"No bundle at {directory}: manifest.json is missing. A bundle is written by "
            f"`rankloom fit` (as RUN/bundle) or Pipeline.save(dir)."
        )
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if manifest.get("format") != FORMAT:
        raise BundleError(
            f"The bundle at {directory} has format {manifest.get('format')} (written by rankloom "
            f"{manifest.get('rankloom', 'unknown')}); this version reads format {FORMAT}. "
            f"Fit again from its config.yaml, or install that version."
        )
    return manifest


def read_dataset(directory: Path) -> Dataset:
    """Read the tables and interactions of a bundle."""
    data = json.loads((directory / "data.json").read_text(encoding="utf-8"))
    tables = {}
    for side in ("item", "user"):
        frame = pl.read_parquet(directory / f"{side}s.parquet")
        fields = {name: FieldSpec(**spec) for name, spec in data["fields"][side].items()}
        tables[side] = Table(side, IdMap(frame[_ID].to_list()), frame.drop(_ID), fields)
    frame = pl.read_parquet(directory / "interactions.parquet")
    column = {name: torch.from_numpy(frame[name].to_numpy().copy()) for name in frame.columns}
    events = Interactions(
        column["user"],
        column["item"],
        column["value"],
        column["time"],
        column["row"],
        data["timed"],
    )
    return Dataset(
        tables["item"],
        tables["user"],
        events,
        column["positive"],
        given_split=column.get("part"),
        name=data["name"],
    )


def read_weights(directory: Path) -> dict[str, dict[str, Tensor]]:
    """Read the trained weights of a bundle, by model, to start another fit from.

    Raises:
        BundleError: No bundle there, or one of another format.
    """
    read_manifest(directory)
    out: dict[str, dict[str, Tensor]] = {}
    for key, tensor in load_file(directory / "state.safetensors").items():
        head, _, rest = key.partition("/")
        if head == "model":
            name, _, parameter = rest.partition("/")
            out.setdefault(name, {})[parameter] = tensor
    return out


def read_parts(directory: Path, parts: Parts) -> None:
    """Fill built components from a bundle, on the CPU whatever they were fitted on.

    Raises:
        BundleError: State is missing or of another shape.
    """
    tensors = load_file(directory / "state.safetensors")
    meta = json.loads((directory / "state.json").read_text(encoding="utf-8"))
    for key, component in parts.stateful():
        if key in meta and hasattr(component, "import_state"):
            prefix = f"state/{key}/"
            own = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
            component.import_state(State(own, meta[key]))
    for name, model in parts.models.items():
        prefix = f"model/{name}/"
        state = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
        outcome = model.load_state_dict(state, strict=False)
        missing = [key for key in outcome.missing_keys if not _frozen(model, key)]
        if missing or outcome.unexpected_keys:
            raise BundleError(
                f"The bundle at {directory} does not fit model {name!r}: missing "
                f"{missing[:3]}, unexpected {outcome.unexpected_keys[:3]}. Was a plugin updated?"
            )
        table = parts.tables[name]
        table.vectors = tensors[f"table/{name}/vectors"]
        table.present = tensors[f"table/{name}/present"]
        table.version = 1
        for encoder in model.items.encoders:
            head = f"features/{name}/{encoder}/"
            own = {k[len(head) :]: v for k, v in tensors.items() if k.startswith(head)}
            table.features[encoder] = Features(own, tensors[f"present/{name}/{encoder}"])
        model.eval()
