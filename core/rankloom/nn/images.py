"""Pictures of any kind to RGB, and the base of image encoders."""

from __future__ import annotations

import io
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rankloom.components import ImageEncoderConfig
from rankloom.nn.media import Unreadable
from rankloom.nn.media_encoder import MediaEncoder

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ImageEncoder", "decode_image", "to_tensor"]


def decode_image(data: bytes, max_pixels: int) -> Image.Image:
    """Decode a picture into upright RGB.

    EXIF orientation is applied; grey, 16-bit grey, palette and CMYK are converted; transparency is
    laid on white; of an animation the first frame is taken. The size is looked at before anything
    is decoded.

    Args:
        data: The file.
        max_pixels: Width times height that is accepted.

    Raises:
        Unreadable: No picture, truncated, or too many pixels.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on odd metadata, and the bomb that we refuse
            with Image.open(io.BytesIO(data)) as opened:
                width, height = opened.size
                if width * height > max_pixels:
                    raise Unreadable(
                        f"it has {width} x {height} pixels, more than {max_pixels:,} (max_pixels)"
                    )
                opened.load()
                return _rgb(ImageOps.exif_transpose(opened))
    except Unreadable:
        raise
    # Pillow's decoders raise what their formats' parsers raise: SyntaxError, struct.error, ...
    except Exception as error:
        raise Unreadable(f"it is no picture that can be read ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return "cannot identify image file" if "BytesIO" in str(error) else (lines or ["damaged"])[0]


def _rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        low, high = _extrema(image)
        scale = 255.0 / (65535.0 if image.mode.startswith("I;16") else max(high - low, 1e-9))
        shift = 0.0 if image.mode.startswith("I;16") else low
        image = image.convert("F").point(lambda value: value * scale - shift * scale).convert("L")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layered)
    return image.convert("RGB")


def _extrema(image: Image.Image) -> tuple[float, float]:
    low, high = image.getextrema()[:2]
    return float(low), float(high)  # type: ignore[arg-type]  # one band: two numbers


def to_tensor(image: Image.Image) -> Tensor:
    """Return an RGB picture as ``[3, height, width]`` uint8."""
    data = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return data.view(image.height, image.width, 3).permute(2, 0, 1)


class ImageEncoder(MediaEncoder):
    """An encoder of pictures: a subclass gives ``transform`` beside the rest."""

    config: ImageEncoderConfig

    @abstractmethod
    def transform(self, image: Image.Image) -> Tensor:
        """Turn an RGB picture into ``[3, height, width]`` of one size for all."""

    def decode(self, data: bytes) -> Mapping[str, Tensor]:
        """Decode and transform: ``pixels [3, height, width]``."""
        image: Any = decode_image(data, self.config.max_pixels)
        return {"pixels": self.transform(image)}
