"""Colours and small pixels of a picture, no learned network: what a benchmark must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from rankloom import ComponentSpec, ImageEncoderConfig, component, hookimpl
from rankloom.nn.images import ImageEncoder, to_tensor
from rankloom.protocols import Build, Encoded, Features, TrainData

if TYPE_CHECKING:
    from PIL import Image

BINS = 8
WIDTH, HEIGHT = 9, 12


class PixelsConfig(ImageEncoderConfig):
    """Square roots of a colour histogram (8 x 8 x 8) and 9 x 12 pixels, reduced by PCA."""

    type: Literal["bench.pixels"] = "bench.pixels"
    components: int = 256
    """Principal components that are kept, whitened."""


class PixelsEncoder(ImageEncoder):
    """PCA is fitted on the pictures of training items alone."""

    config: PixelsConfig

    def __init__(self, config: PixelsConfig, build: Build) -> None:
        super().__init__(config, build, BINS**3 + 3 * WIDTH * HEIGHT)
        self.dim = config.components
        self.register_buffer("mean", torch.zeros(self.width))
        self.register_buffer("axes", torch.zeros(self.width, config.components))

    def settings(self) -> Mapping[str, Any]:
        return {"bins": BINS, "pixels": [WIDTH, HEIGHT]}

    def load_network(self) -> None:
        return None

    def transform(self, image: Image.Image) -> Tensor:
        """Return the histogram and the pixels, each at most about 1 long: ``[width]``."""
        levels = (to_tensor(image).long() * BINS) // 256
        places = (levels[0] * BINS + levels[1]) * BINS + levels[2]
        counts = torch.bincount(places.flatten(), minlength=BINS**3).float()
        small = to_tensor(image.resize((WIDTH, HEIGHT))).float().flatten() / 255
        return torch.cat([(counts / counts.sum()).sqrt(), small / len(small) ** 0.5])

    def vectors(self, network: Any, tensors: Mapping[str, Tensor]) -> Tensor:
        return tensors["pixels"]

    def prepare(self, train: TrainData) -> None:
        rows = torch.nonzero(train.universe)[:, 0].tolist()
        name = "photo" if self.config.field is None else self.config.field
        values = train.items.values(name, rows)
        features = self.precompute(self.collate(values))
        data = features["vector"][features.present].double()
        self.mean = data.mean(0).float()
        _, sizes, axes = torch.linalg.svd(data - data.mean(0), full_matrices=False)
        keep = self.config.components
        scale = sizes[:keep] / len(data) ** 0.5
        self.axes = (axes[:keep].T / scale.clamp(min=1e-6)).float()

    def forward(self, features: Features) -> Encoded:
        return Encoded((features["vector"] - self.mean) @ self.axes)


class PixelsPlugin:
    """Registered by the benchmark."""

    @hookimpl
    def register_encoders(self) -> list[ComponentSpec]:
        module = f"{PixelsEncoder.__module__}:PixelsEncoder"
        return [component(PixelsConfig, module, modality="image")]
