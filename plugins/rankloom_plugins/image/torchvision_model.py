"""Classifiers of torchvision as frozen image encoders."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchvision import models

from rankloom.errors import ConfigError, did_you_mean
from rankloom.nn.images import ImageEncoder
from rankloom.protocols import Build
from rankloom_plugins.image.plugin import TorchvisionConfig
from rankloom_plugins.image.state_dicts import load_state, read_state

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["TorchvisionEncoder"]


class TorchvisionEncoder(ImageEncoder):
    """What goes into the last linear layer of a classifier.

    The width is known without weights: the architecture is laid out on the meta device.

    Args:
        config: Settings.
        build: ``base_dir`` is where ``file`` and ``root`` start.

    Raises:
        ConfigError: There is no such architecture or no such weights, or the architecture does not
            end in a linear layer.
    """

    config: TorchvisionConfig

    def __init__(self, config: TorchvisionConfig, build: Build) -> None:
        self.published = _published(config)
        self.file = None if config.file is None else build.base_dir / Path(config.file).expanduser()
        _, layer = _last_linear(_laid_out(config.model), config.model)
        super().__init__(config, build, layer.in_features)
        usual = models.ResNet18_Weights.IMAGENET1K_V1  # as nearly all of ImageNet's were evaluated
        self._transform = (self.published or usual).transforms()

    def settings(self) -> Mapping[str, Any]:
        """Return what the vectors depend on: architecture, weights and transforms.

        Raises:
            ConfigError: ``file`` is not there, or another one than ``sha256`` says.
        """
        said = {"model": self.config.model, "transform": repr(self._transform)}
        if self.published is not None:
            return {**said, "weights": self.published.url}
        if self.file is None:
            return {**said, "seed": self.config.seed}
        return {**said, "weights": self._digest(self.file)}

    def _digest(self, file: Path) -> str:
        try:
            with file.open("rb") as handle:
                found = hashlib.file_digest(handle, "sha256").hexdigest()
        except OSError as error:
            raise ConfigError(
                f"file: the weights {file} cannot be read ({error.strerror or error}). Paths start "
                "at the pipeline file's folder."
            ) from error
        expected = self.config.sha256
        if expected is not None and found != expected.lower():
            raise ConfigError(
                f"file: {file} has sha256 {found}, but the config says {expected}. It is not the "
                "file that was meant, or it is damaged: fetch it again, or correct sha256."
            )
        return found

    def load_network(self) -> nn.Module:
        """Build the network with its weights.

        Raises:
            ConfigError: The weights cannot be downloaded, or do not fit.
        """
        if self.published is not None:
            try:
                published: nn.Module = models.get_model(self.config.model, weights=self.published)
            except (OSError, RuntimeError) as error:
                raise ConfigError(
                    f"weights: {self.config.weights} of {self.config.model} could not be had from "
                    f"{self.published.url} ({error}). Check the network, or name a 'file'."
                ) from error
            return published
        torch.manual_seed(self.config.seed)  # the caller restores the generator
        network = _built(self.config.model)
        if self.file is not None:
            self._digest(self.file)
            head, _ = _last_linear(network, self.config.model)
            load_state(network, read_state(self.file), head, self.file)
        return network

    def transform(self, image: Image.Image) -> Tensor:
        """Transform as the weights say."""
        pixels: Tensor = self._transform(image)
        return pixels

    def vectors(self, network: Any, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the input of the last linear layer, ``[n, width]``; tokens are averaged."""
        caught: list[Tensor] = []
        _, layer = _last_linear(network, self.config.model)
        handle = layer.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
        try:
            network(tensors["pixels"])
        finally:
            handle.remove()
        found = caught[-1]
        return found if found.dim() == 2 else found.flatten(1, -2).mean(1)


def _published(config: TorchvisionConfig) -> Any:
    """Return the member of the weights' enum, None where the config names none."""
    names = models.list_models(module=models)
    if config.model not in names:
        raise ConfigError(
            f"model: torchvision has no classifier {config.model!r}."
            f"{did_you_mean(config.model, names)} `torchvision.models.list_models(module="
            "torchvision.models)` lists them."
        )
    if config.weights is None:
        return None
    members = models.get_model_weights(config.model).__members__
    if config.weights not in members:
        raise ConfigError(
            f"weights: {config.model} has no weights {config.weights!r}."
            f"{did_you_mean(config.weights, members)} There are {', '.join(members)}."
        )
    return members[config.weights]


def _built(name: str) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two of them announce another initialisation
        network: nn.Module = models.get_model(name, weights=None)
    return network


def _laid_out(name: str) -> nn.Module:
    try:
        with torch.device("meta"):
            return _built(name)
    except NotImplementedError:  # RegNet computes its own widths with tensors
        with torch.random.fork_rng(devices=[]):
            return _built(name)


def _last_linear(network: nn.Module, name: str) -> tuple[str, nn.Linear]:
    found = [(key, one) for key, one in network.named_modules() if isinstance(one, nn.Linear)]
    if not found:
        raise ConfigError(
            f"model: {name!r} does not end in a linear layer, whose input would be the features. "
            "Choose another architecture, for example resnet18 or efficientnet_b0."
        )
    return found[-1]
