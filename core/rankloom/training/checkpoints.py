"""Checkpoints: read without running code, and checked against what is to be resumed."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rankloom.errors import DataError

__all__ = ["check_fits", "read_checkpoint"]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint that holds tensors, numbers, text and containers of those, nothing else.

    Raises:
        DataError: It is damaged, or holds other objects, which could run code.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"{path}: this checkpoint is damaged or holds objects other than tensors, numbers and "
            f"text, which could run code; it is not read ({reason}). Delete it, or fit without "
            "resuming."
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise DataError(
            f"{path}: this checkpoint cannot be read ({error}). Delete it, or fit without resuming."
        ) from error
    if not isinstance(saved, dict) or not {"state_dict", "epoch"} <= saved.keys():
        raise DataError(f"{path}: this is no checkpoint of a training run.")
    return saved


def check_fits(path: Path, saved: dict[str, Any], module: nn.Module) -> None:
    """Check that a checkpoint belongs to a module.

    Raises:
        DataError: Its parameters have other names or shapes.
    """
    own = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    theirs = {name: tuple(tensor.shape) for name, tensor in saved["state_dict"].items()}
    wrong = [name for name in {**own, **theirs} if own.get(name) != theirs.get(name)]
    if wrong:
        name = wrong[0]
        raise DataError(
            f"{path}: this checkpoint belongs to another model: {len(wrong)} parameters differ, "
            f"the first being {name} with shape {theirs.get(name, 'none')} there and "
            f"{own.get(name, 'none')} here. Delete it, or fit without resuming."
        )
