"""The section ``trainer:``, checked and completed before Lightning sees it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from rankloom.config.trainer_keys import check_trainer_keys
from rankloom.errors import ConfigError

__all__ = ["check_trainer", "complete", "encoding_device"]

#: Set by launchers that have started the processes already (torchrun, SLURM, Lightning itself).
LAUNCHED = ("LOCAL_RANK", "SLURM_PROCID")


def check_trainer(options: Mapping[str, Any]) -> None:
    """Check the keys of ``trainer:`` against Lightning's Trainer.

    Raises:
        ConfigError: A key that Trainer does not have, or that Rankloom sets itself.
    """
    for key, problem in check_trainer_keys(options):
        raise ConfigError(f"trainer.{key}: {problem}")


def complete(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with the strategy for several devices chosen.

    Lightning's ``ddp`` starts the whole program again for every further device, and each would load
    data, fit closed forms and write files. ``ddp_spawn`` starts processes for the training alone:
    everything else happens once, here, and they are handed its results. So it is what ``ddp`` (and
    no strategy) mean, unless a launcher such as torchrun has started the processes already.
    """
    chosen = {"accelerator": "auto", **options}
    launched = any(name in os.environ for name in LAUNCHED)
    if not launched and chosen.get("strategy", "auto") in ("auto", "ddp") and _several(chosen):
        chosen["strategy"] = "ddp_spawn"
    return chosen


def encoding_device(options: Mapping[str, Any]) -> torch.device:
    """Return where frozen encoders run: on the first GPU where the trainer may use one."""
    wanted = options.get("accelerator", "auto")
    if wanted in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        devices = options.get("devices")
        first = devices[0] if isinstance(devices, (list, tuple)) and devices else 0
        return torch.device("cuda", first if isinstance(first, int) else 0)
    return torch.device("cpu")


def _several(options: Mapping[str, Any]) -> bool:
    """Whether the options ask for more than one process."""
    if int(options.get("num_nodes", 1)) > 1:
        return False  # needs a launcher anyway
    devices = options.get("devices", "auto")
    if isinstance(devices, str) and devices.lstrip("-").isdigit():
        devices = int(devices)
    if isinstance(devices, (list, tuple)):
        return len(devices) > 1
    if isinstance(devices, str) and "," in devices:
        return len([part for part in devices.split(",") if part.strip()]) > 1
    if isinstance(devices, int) and devices >= 0:
        return devices > 1
    gpu = options.get("accelerator") in ("auto", "gpu", "cuda")
    return gpu and torch.cuda.device_count() > 1
