"""Weights in a file of one's own."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rankloom.errors import ConfigError

__all__ = ["load_state", "read_state"]

#: Under which training scripts keep the weights beside the rest of a checkpoint.
_INSIDE = ("state_dict", "model_state_dict", "model")


def read_state(file: Path) -> dict[str, Tensor]:
    """Read a state dict; nothing in the file is ever run.

    Args:
        file: ``.safetensors``, or what ``torch.save`` wrote: the state dict itself, or a checkpoint
            with it under ``state_dict``, ``model_state_dict`` or ``model``.

    Raises:
        ConfigError: It cannot be read, or holds something else.
    """
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        found: Any = torch.load(file, map_location="cpu", weights_only=True)
    # torch's readers raise whatever their file formats raise
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"file: {file} holds no weights that can be read safely ({reason}). Save them with "
            "torch.save(model.state_dict(), ...) or safetensors; whole pickled models are refused, "
            "as loading one can run code."
        ) from error
    except Exception as error:  # safetensors' own error is no subclass of these
        raise ConfigError(f"file: {file} is no safetensors file ({error}).") from error
    for name in _INSIDE:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not isinstance(found, Mapping) or not all(isinstance(t, Tensor) for t in found.values()):
        raise ConfigError(f"file: {file} holds no state dict (names and tensors).")
    return {str(name).removeprefix("module."): tensor for name, tensor in found.items()}


def load_state(network: nn.Module, state: Mapping[str, Tensor], head: str, file: Path) -> None:
    """Load everything but the classifier, which may have been trained for other classes.

    Args:
        network: Gets the weights.
        state: By name.
        head: Name of the last linear layer, which is not used.
        file: Where they came from.

    Raises:
        ConfigError: They belong to another architecture.
    """
    kept = {name: t for name, t in state.items() if not name.startswith(f"{head}.")}
    own = network.state_dict()
    wanted = {name for name in own if not name.startswith(f"{head}.")}
    # Counters of seen batches are not in every file, and nothing reads them here.
    missing = sorted(n for n in wanted - kept.keys() if not n.endswith("num_batches_tracked"))
    strange = sorted(kept.keys() - wanted)
    shapes = sorted(n for n in wanted & kept.keys() if own[n].shape != kept[n].shape)
    for what, names in (("lacks", missing), ("has unknown", strange), ("has misshapen", shapes)):
        if names:
            raise ConfigError(
                f"file: {file} {what} {len(names)} tensors (first: {names[0]}). Its weights belong "
                "to another architecture than 'model' says."
            )
    network.load_state_dict(kept, strict=False)
