"""Manifest: encoders of pictures, and of texts that are compared with pictures."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from rankloom import ComponentSpec, EncoderConfig, ImageEncoderConfig, component, hookimpl

__all__ = ["ClipImageConfig", "ClipTextConfig", "TorchvisionConfig", "register_encoders"]

_SHA256 = "^[0-9a-fA-F]{64}$"


class ClipImageConfig(ImageEncoderConfig):
    """Pictures through the frozen vision tower of a CLIP model; each is encoded once and cached."""

    type: Literal["clip_image"] = "clip_image"
    model: str
    """A directory (``save_pretrained``), a hub name, or ``package:NAME/PATH`` (weights inside an
    installed package), of CLIP's architecture."""
    normalize: bool = True
    """Scale vectors to length 1."""
    sha256: str | None = Field(default=None, pattern=_SHA256)
    """Expected sha256 of ``model.safetensors``; other weights are refused."""


class ClipTextConfig(EncoderConfig):
    """Text in the space of ``clip_image``: words find pictures that nobody has touched."""

    type: Literal["clip_text"] = "clip_text"
    model: str
    """The model that ``clip_image`` has."""
    normalize: bool = True
    """Scale vectors to length 1."""
    max_length: int = Field(default=77, ge=3)
    """Tokens kept of each text, never more than the model can take."""
    batch_size: int = Field(default=64, ge=1)
    """Texts encoded at once."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What the network computes in; ``auto``: bfloat16 where the device gains by it."""
    dim: int | None = Field(default=None, ge=1)
    """Width of a trained linear map of the frozen vectors; null: none (fusions bring their own)."""
    sha256: str | None = Field(default=None, pattern=_SHA256)
    """Expected sha256 of ``model.safetensors``; other weights are refused."""


class TorchvisionConfig(ImageEncoderConfig):
    """Pictures through a frozen classifier of torchvision, up to its last linear layer.

    Without ``weights`` and ``file`` the weights are random: such vectors need no download, but say
    little about what is in a picture, and nothing at all in architectures in which random weights
    let signals die out (MobileNet, EfficientNet).
    """

    type: Literal["torchvision"] = "torchvision"
    model: str = "resnet18"
    """Name of the architecture (``torchvision.models.list_models()``)."""
    weights: str | None = None
    """Published weights (``IMAGENET1K_V2``, ``DEFAULT``), downloaded on first use; pictures are
    transformed as they say."""
    file: str | None = None
    """Weights of your own, relative to the pipeline file: a state dict, ``.safetensors`` or what
    ``torch.save`` wrote; pictures are transformed as is usual for ImageNet, to 224 pixels."""
    sha256: str | None = Field(default=None, pattern=_SHA256)
    """Expected sha256 of ``file``; other weights are refused."""
    seed: int = Field(default=0, ge=0)
    """Of the random weights, where neither ``weights`` nor ``file`` is given."""

    @model_validator(mode="after")
    def _one_origin(self) -> TorchvisionConfig:
        if self.weights is not None and self.file is not None:
            raise ValueError("'weights' and 'file' both say where the weights are; give one")
        if self.sha256 is not None and self.file is None:
            raise ValueError("'sha256' is that of 'file', which is not given")
        return self


@hookimpl
def register_encoders() -> list[ComponentSpec]:
    """Register the encoders."""
    vision = ("vision",)
    clip = "rankloom_plugins.image.clip"
    torchvision = "rankloom_plugins.image.torchvision_model:TorchvisionEncoder"
    return [
        component(ClipImageConfig, f"{clip}:ClipImageEncoder", modality="image", extras=vision),
        component(ClipTextConfig, f"{clip}:ClipTextEncoder", modality="text"),
        component(TorchvisionConfig, torchvision, modality="image", extras=vision),
    ]
