"""``training.compile``: the parts of a module run through ``torch.compile`` while it trains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from rankloom.errors import ConfigError

__all__ = ["Compiled", "compilable"]


def compilable(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the outermost modules with a ``forward`` of their own and weights that train.

    A module without one (a model is called by its parts) stands for its children.
    """
    if type(module).forward is not nn.Module.forward:
        if any(one.requires_grad for one in module.parameters()):
            yield module
        return
    for child in module.children():
        yield from compilable(child)


class Compiled(Callback):
    """Compiles when the training starts, in each process, and takes it back when it ends.

    Serving calls the same modules with shapes that change from request to request, where a compiled
    module would be compiled again and again.

    Args:
        wanted: ``"auto"``: on a GPU alone (on CPUs the small models of this field gain nothing).
    """

    def __init__(self, wanted: Literal["auto"] | bool) -> None:
        self.wanted = wanted

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compile; the first steps of each shape then take longer.

        Raises:
            ConfigError: This machine has no compiler.
        """
        on_gpu = pl_module.device.type == "cuda"
        if self.wanted is False or (self.wanted == "auto" and not on_gpu):
            return
        _check_compiler(pl_module.device)
        for part in self._parts(pl_module):
            part.compile(dynamic=True)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run the modules as they are again."""
        self._undo(pl_module)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """The same, where training was cut short."""
        self._undo(pl_module)

    def _undo(self, pl_module: pl.LightningModule) -> None:
        for part in self._parts(pl_module):
            part._compiled_call_impl = None  # what Module.compile sets, and nothing unsets

    def _parts(self, pl_module: Any) -> Iterator[nn.Module]:
        yield from compilable(pl_module.model)


def _check_compiler(device: torch.device) -> None:
    """Compile something small, so that a missing compiler is an error with a remedy.

    Raises:
        ConfigError: It cannot be compiled.
    """
    try:
        torch.compile(lambda x: x * 2 + 1)(torch.ones(3, device=device))
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ConfigError(
            f"training.compile: torch.compile does not work on this machine ({first}). Install a "
            "C++ compiler (and Triton for a GPU), or leave 'compile' out."
        ) from error
