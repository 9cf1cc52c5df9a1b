"""Read a bundle; every fault is one error that names the file and what to do."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from rankloom.api.bundle import FORMAT, ID_COLUMN, file_digest, frozen_keys
from rankloom.api.fitting import FitLog
from rankloom.config import PipelineConfig, load_config
from rankloom.data.dataset import Dataset
from rankloom.data.fields import FieldSpec
from rankloom.data.ids import IdMap
from rankloom.data.interactions import Interactions
from rankloom.data.tables import Table
from rankloom.errors import BundleError
from rankloom.host import Host
from rankloom.pipeline.builder import Parts
from rankloom.protocols import Features, State

__all__ = [
    "Manifest",
    "check_plugins",
    "read_config",
    "read_dataset",
    "read_manifest",
    "read_parts",
    "read_weights",
]

R = TypeVar("R")
_REMEDY = "Copy the bundle again from where it was written, or fit again."
_FAULTS = (OSError, ValueError, KeyError, TypeError, SafetensorError, pl.exceptions.PolarsError)


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        sizes: Items and users at fit time.
        log: What the fit did.
        plugins: Versions of the packages whose plugins the pipeline used.
    """

    sizes: tuple[int, int]
    log: FitLog
    plugins: Mapping[str, str]


def read_manifest(directory: Path) -> Manifest:
    """Read a bundle's manifest and check its files against it.

    Raises:
        BundleError: No bundle there, one of another format, or a file is missing or changed.
    """
    path = directory / "manifest.json"
    if not path.is_file():
        raise BundleError(
            f"No bundle at {directory}: "
            f"{'manifest.json is missing' if directory.is_dir() else 'there is no such folder'}. "
            f"A bundle is written by `rankloom fit` (as RUN/bundle) or Pipeline.save(dir)."
        )
    found = _read(path, _json)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        said = found if isinstance(found, dict) else {}
        raise BundleError(
            f"The bundle at {directory} has format {said.get('format')} (written by rankloom "
            f"{said.get('rankloom', 'unknown')}); this version reads format {FORMAT}. "
            f"Fit again from its config.yaml, or install that version."
        )
    for name, digest in found.get("sha256", {}).items():
        if _read(directory / name, file_digest) != digest:
            raise BundleError(
                f"The bundle at {directory} is damaged: {name} is not as it was written. {_REMEDY}"
            )
    return _read(path, lambda _: _manifest(found))


def check_plugins(directory: Path, manifest: Manifest, host: Host) -> None:
    """Check that the plugins a bundle was fitted with are there; warn of other versions.

    Raises:
        BundleError: One is not installed, disabled or broken.
    """
    ranked = sorted(host.plugins(), key=lambda info: not info.disabled)  # enabled ones win
    there = {info.distribution: info for info in ranked}
    for name, version in manifest.plugins.items():
        if name == "rankloom":  # the bundle's format answers for that
            continue
        info = there.get(name)
        start = f"The bundle at {directory} was fitted with a plugin of {name} {version}"
        if info is None:
            raise BundleError(f"{start}, which is not installed. pip install '{name}=={version}'")
        if info.disabled:
            raise BundleError(f"{start}, which RANKLOOM_DISABLE_PLUGINS leaves out.")
        if info.problem and not info.hooks:
            raise BundleError(f"{start}, which cannot be loaded. {info.problem}")
        if info.version != version:
            warnings.warn(
                f"{start}; {info.version} is installed. Its answers may differ: install the "
                f"version of the fit, or fit again.",
                stacklevel=3,
            )


def read_config(directory: Path) -> PipelineConfig:
    """Read the filled config of a bundle.

    Raises:
        BundleError: It is missing.
        ConfigError: A plugin that it names is not installed, or it was changed by hand.
    """
    path = directory / "config.yaml"
    if not path.is_file():
        raise BundleError(f"The bundle at {directory} lacks config.yaml. {_REMEDY}")
    return load_config(path)


def read_dataset(directory: Path) -> Dataset:
    """Read the tables and interactions of a bundle.

    Raises:
        BundleError: A file is missing or damaged.
    """
    data = _read(directory / "data.json", _json)
    tables = {}
    for side in ("item", "user"):
        path = directory / f"{side}s.parquet"
        frame = _read(path, pl.read_parquet)
        fields = {name: FieldSpec(**spec) for name, spec in data["fields"][side].items()}
        ids = IdMap(frame[ID_COLUMN].to_list())
        tables[side] = Table(side, ids, frame.drop(ID_COLUMN), fields)
    frame = _read(directory / "interactions.parquet", pl.read_parquet)
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
        BundleError: No bundle there, one of another format, or a damaged one.
    """
    read_manifest(directory)
    out: dict[str, dict[str, Tensor]] = {}
    for key, tensor in _read(directory / "state.safetensors", load_file).items():
        head, _, rest = key.partition("/")
        if head == "model":
            name, _, parameter = rest.partition("/")
            out.setdefault(name, {})[parameter] = tensor
    return out


def read_parts(directory: Path, parts: Parts) -> None:
    """Fill built components from a bundle, on the CPU whatever they were fitted on.

    Raises:
        BundleError: State is missing or of another shape.
        ConfigError: Weights that the config names are not there.
    """
    for _, component in parts.components():
        if hasattr(component, "load"):
            component.load()
    tensors = _read(directory / "state.safetensors", load_file)
    meta = _read(directory / "state.json", _json)
    for key, component in parts.components():
        if key in meta and hasattr(component, "import_state"):
            component.import_state(State(_below(tensors, f"state/{key}/"), meta[key]))
    for key, component in parts.outside():
        own = _below(tensors, f"module/{key}/")
        if own and isinstance(component, nn.Module):
            _fill_module(directory, key, component, own)
    for name in parts.models:
        _fill_model(directory, parts, name, tensors)


def _fill_module(directory: Path, key: str, component: nn.Module, own: dict[str, Tensor]) -> None:
    """Give a module outside the models its tensors, buffers that ``fit`` made or resized too."""
    for name, tensor in own.items():
        path, _, last = name.rpartition(".")
        owner = component.get_submodule(path)
        if last in dict(owner.named_buffers(recurse=False)):
            setattr(owner, last, tensor)
    try:
        component.load_state_dict(own)
    except RuntimeError as error:
        raise BundleError(
            f"The bundle at {directory} does not fit {key!r}: {str(error).splitlines()[-1].strip()}"
            f". Was a plugin updated? Install its version of the fit (manifest.json: plugins)."
        ) from error
    component.eval()


def _fill_model(directory: Path, parts: Parts, name: str, tensors: dict[str, Tensor]) -> None:
    model, table = parts.models[name], parts.tables[name]
    try:
        outcome = model.load_state_dict(_below(tensors, f"model/{name}/"), strict=False)
        missing = sorted(set(outcome.missing_keys) - frozen_keys(model))
        if missing or outcome.unexpected_keys:
            raise BundleError(
                f"The bundle at {directory} does not fit model {name!r}: missing "
                f"{missing[:3]}, unexpected {outcome.unexpected_keys[:3]}. Was a plugin updated? "
                f"Install its version of the fit (manifest.json: plugins), or fit again."
            )
        table.vectors = tensors[f"table/{name}/vectors"]
        table.present = tensors[f"table/{name}/present"]
        table.version = 1
        for encoder in model.items.encoders:
            own = _below(tensors, f"features/{name}/{encoder}/")
            table.features[encoder] = Features(own, tensors[f"present/{name}/{encoder}"])
    except (KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise BundleError(
            f"The bundle at {directory} does not fit model {name!r}: {reason}. Was a plugin "
            f"updated? Install its version of the fit (manifest.json: plugins), or fit again."
        ) from error
    model.eval()


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names start with ``prefix``, without it."""
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


def _manifest(found: dict[str, Any]) -> Manifest:
    items, users = found["sizes"]
    log = FitLog.from_dict(found["fit"])
    return Manifest((int(items), int(users)), log, dict(found["plugins"]))


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _read(path: Path, read: Callable[[Path], R]) -> R:
    """Read one file of a bundle.

    Raises:
        BundleError: It is missing or cannot be read.
    """
    if not path.is_file():
        raise BundleError(f"The bundle at {path.parent} lacks {path.name}. {_REMEDY}")
    try:
        return read(path)
    except _FAULTS as error:
        reason = (str(error).splitlines() or [""])[0]
        raise BundleError(
            f"The bundle at {path.parent} is damaged: {path.name} cannot be read "
            f"({type(error).__name__}: {reason}). {_REMEDY}"
        ) from error
