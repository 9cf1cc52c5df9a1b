"""The manifest: settings, and where the implementation is. It imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rankloom import ComponentSpec, ImageEncoderConfig, component, hookimpl


class EfficientNetConfig(ImageEncoderConfig):
    """Pictures through EfficientNet-Lite0 with its ImageNet weights, which come by pip."""

    type: Literal["efficientnet_lite0"] = "efficientnet_lite0"
    size: int = Field(default=224, ge=32)
    """Pictures are scaled to this many pixels a side; 128 is three times as fast as 224."""


@hookimpl
def register_encoders() -> list[ComponentSpec]:
    target = "rankloom_efficientnet.encoder:EfficientNetEncoder"
    return [component(EfficientNetConfig, target, modality="image")]
