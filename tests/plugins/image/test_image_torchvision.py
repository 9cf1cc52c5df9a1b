from __future__ import annotations

import copy
import hashlib
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from rankloom.errors import ConfigError, MissingExtraError
from rankloom.protocols import Build, Encoder
from rankloom.registry import default_registry
from rankloom_plugins.image.plugin import TorchvisionConfig
from rankloom_plugins.image.torchvision_model import TorchvisionEncoder

#: Architectures whose classifier is one attribute, or the last of several layers.
HEADS = {
    "resnet18": ("fc", 512),
    "mobilenet_v3_small": ("classifier.3", 1024),
    "efficientnet_b0": ("classifier.1", 1280),
    "vit_b_16": ("heads.head", 768),
}


def build(base_dir: Path = Path(), **settings: Any) -> TorchvisionEncoder:
    config = TorchvisionConfig(precision="float32", **settings)
    return TorchvisionEncoder(config, Build(base_dir=base_dir))


def encode(encoder: TorchvisionEncoder, values: list[Any]) -> torch.Tensor:
    return encoder(encoder.precompute(encoder.collate(values))).vectors


def pixels(pictures: list[Image.Image]) -> torch.Tensor:
    transform = models.get_model_weights("resnet18")["IMAGENET1K_V1"].transforms()
    return torch.stack([transform(picture) for picture in pictures])


def network(name: str, pictures: list[Image.Image]) -> nn.Module:
    """A random network whose normalisations have seen the pictures, so that signals survive."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made: nn.Module = models.get_model(name, weights=None).eval()
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
                module.train()
        with torch.no_grad():
            made(pixels(pictures))
    return made.eval()


def reference(name: str, model: nn.Module, pictures: list[Image.Image]) -> torch.Tensor:
    """The model's own forward with its classifier replaced."""
    headless = copy.deepcopy(model)
    headless.set_submodule(HEADS[name][0], nn.Identity())
    with torch.no_grad():
        return headless(pixels(pictures))


@pytest.mark.parametrize("name", HEADS)
def test_features_are_what_the_classifier_reads(
    name: str, pictures: list[Image.Image], files: list[bytes], tmp_path: Path
) -> None:
    model = network(name, pictures)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    encoder = build(tmp_path, model=name, file="weights.pth")
    assert isinstance(encoder, Encoder)
    assert encoder.dim == HEADS[name][1]
    wanted = reference(name, model, pictures)
    assert wanted.std(0).mean() > 1e-2
    torch.testing.assert_close(encode(encoder, files), wanted, atol=1e-5, rtol=1e-5)
    small = build(tmp_path, model=name, file="weights.pth", batch_size=2)
    torch.testing.assert_close(encode(small, files), wanted, atol=1e-5, rtol=1e-5)


def test_published_weights_bring_their_own_transform() -> None:
    encoder = build(model="efficientnet_b0", weights="IMAGENET1K_V1")
    assert encoder.dim == 1280
    pixels = encoder.transform(Image.new("RGB", (300, 200), (255, 0, 0)))
    weights: Any = models.get_model_weights("efficientnet_b0")["IMAGENET1K_V1"]
    assert torch.equal(pixels, weights.transforms()(Image.new("RGB", (300, 200), (255, 0, 0))))
    assert encoder.settings()["weights"].startswith("https://download.pytorch.org/")


@pytest.mark.parametrize("form", ["plain", "checkpoint", "other classes", "safetensors"])
def test_weights_of_a_file(
    form: str, tmp_path: Path, pictures: list[Image.Image], files: list[bytes]
) -> None:
    model = network("resnet18", pictures)
    state = model.state_dict()
    wanted = reference("resnet18", model, pictures[:2])
    name = "weights.safetensors" if form == "safetensors" else "weights.pth"
    if form == "safetensors":
        save_file(state, tmp_path / name)
    elif form == "checkpoint":
        inner = {f"module.{key}": value for key, value in state.items()}
        torch.save({"epoch": 3, "state_dict": inner}, tmp_path / name)
    else:
        if form == "other classes":
            state |= {"fc.weight": torch.zeros(7, 512), "fc.bias": torch.zeros(7)}
        torch.save(state, tmp_path / name)
    digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    encoder = build(tmp_path, model="resnet18", file=name, sha256=digest)
    encoder.load()
    torch.testing.assert_close(encode(encoder, files[:2]), wanted, atol=1e-5, rtol=1e-5)


def test_wrong_files_are_refused(tmp_path: Path, pictures: list[Image.Image]) -> None:
    model = network("resnet18", pictures)
    with pytest.raises(ConfigError, match="cannot be read"):
        build(tmp_path, model="resnet18", file="none.pth").load()
    torch.save(model.state_dict(), tmp_path / "resnet.pth")
    with pytest.raises(ConfigError, match="has sha256"):
        build(tmp_path, model="resnet18", file="resnet.pth", sha256="0" * 64).load()
    with pytest.raises(ConfigError, match=r"lacks \d+ tensors.*another architecture"):
        build(tmp_path, model="mobilenet_v3_small", file="resnet.pth").load_network()
    torch.save(model, tmp_path / "pickled.pth")
    with pytest.raises(ConfigError, match="can run code"):
        build(tmp_path, model="resnet18", file="pickled.pth").load_network()
    torch.save({"a": 1}, tmp_path / "numbers.pth")
    with pytest.raises(ConfigError, match="no state dict"):
        build(tmp_path, model="resnet18", file="numbers.pth").load_network()
    for name in ("broken.safetensors", "broken.pth"):
        (tmp_path / name).write_bytes(b"not weights")
        with pytest.raises(ConfigError, match="file:"):
            build(tmp_path, model="resnet18", file=name).load_network()


def test_names_that_do_not_exist() -> None:
    with pytest.raises(ConfigError, match=r"no classifier 'resnet81'\. Did you mean 'resnet18'"):
        build(model="resnet81")
    with pytest.raises(ConfigError, match=r"no weights 'IMAGENET1K_V9'\. Did you mean"):
        build(model="resnet18", weights="IMAGENET1K_V9")
    with pytest.raises(ConfigError, match="does not end in a linear layer"):
        build(model="squeezenet1_0")
    with pytest.raises(ValidationError, match="give one"):
        TorchvisionConfig(weights="DEFAULT", file="x.pth")


def test_random_weights_follow_the_seed(files: list[bytes]) -> None:
    name = "resnet18"
    one, same, other = (build(model=name, seed=seed) for seed in (1, 1, 2))
    torch.manual_seed(5)
    first = encode(one, files[:1])
    torch.manual_seed(6)
    before = torch.get_rng_state()
    assert torch.equal(first, encode(same, files[:1]))
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(first, encode(other, files[:1]))
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()


def test_width_is_known_without_loading() -> None:
    encoder = build(model="regnet_y_400mf")  # cannot be laid out on the meta device
    assert encoder.dim == 440
    assert "_network" not in vars(encoder)
    assert encoder.state_dict() == {}


def test_missing_torchvision_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "rankloom_plugins.image.torchvision_model"
    monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    registry = default_registry()
    with pytest.raises(MissingExtraError, match=r"pip install 'rankloom\[vision\]'"):
        registry.implementation(registry.get("encoder", "torchvision"))
    monkeypatch.undo()
    importlib.import_module(module)
