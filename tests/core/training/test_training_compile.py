"""``training.compile``: the same losses, and nothing compiled is left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankloom.config import TrainingConfig
from rankloom.errors import ConfigError
from rankloom.training import compiling
from rankloom.training.compiling import compilable
from rankloom.training.run import run


class Parts(nn.Module):
    """Called by its parts, as a model is."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Linear(3, 8), nn.GELU())
        self.second = nn.Linear(8, 1)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.compiled: list[bool] = []

    def score(self, x: Tensor) -> Tensor:
        self.compiled.append(self.first._compiled_call_impl is not None)
        found: Tensor = self.second(self.first(x))
        return found


def trained(folder: Path, compile_: Any) -> Parts:
    module = Parts()
    batches = [torch.randn(4, 3, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    settings = TrainingConfig(epochs=2, learning_rate=0.1, compile=compile_)
    run(module, lambda x: module.score(x).square().mean(), batches, settings, {}, folder)
    return module


def test_what_is_compiled_is_what_has_a_forward_and_trains() -> None:
    module = Parts()
    assert list(compilable(module)) == [module.first, module.second]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's own tracing
def test_compiled_training_is_the_same_and_leaves_nothing(tmp_path: Path) -> None:
    plain, compiled = trained(tmp_path / "a", False), trained(tmp_path / "b", True)
    assert not any(plain.compiled)
    assert all(compiled.compiled)
    assert compiled.first._compiled_call_impl is None
    assert compiled.second._compiled_call_impl is None
    theirs = compiled.state_dict()
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(tensor, theirs[name], atol=1e-5, rtol=1e-4)


def test_auto_compiles_on_a_gpu_alone(tmp_path: Path) -> None:
    assert any(trained(tmp_path, "auto").compiled) == torch.cuda.is_available()


def test_no_compiler_is_said_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("No working C++ compiler found in PATH\nmore")

    monkeypatch.setattr(compiling.torch, "compile", broken)
    with pytest.raises(ConfigError, match=r"No working C\+\+ compiler.*leave 'compile' out"):
        trained(tmp_path, True)
