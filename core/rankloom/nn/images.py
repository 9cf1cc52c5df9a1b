"""Pictures of any kind to RGB, and the base of image encoders."""

from __future__ import annotations

import io
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rankloom.components import ImageEncoderConfig
from rankloom.nn.media import Unreadable
from rankloom.nn.media_encoder import MediaEncoder

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ImageEncoder", "decode_image", "to_tensor"]

#: What is decoded. Not whatever Pillow can open: EPS starts a program, and what is inside an icon
#: may be larger than it says.
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "JPEG2000", "PPM")

#: Longest side over the shorter one. Scaled to a network's size by its shorter side, a line of one
#: pixel's height would not fit into memory.
_MAX_RATIO = 200


def decode_image(data: bytes, max_pixels: int) -> Image.Image:
    """Decode a picture into upright RGB.

    EXIF orientation is applied; grey, 16-bit grey, palette and CMYK are converted; transparency is
    laid on white; of an animation the first frame is taken. The size is looked at before anything
    is decoded. Read are JPEG, PNG, GIF, WebP, AVIF (where Pillow can), BMP, TIFF, JPEG 2000, PPM.

    Args:
        data: The file.
        max_pixels: Width times height that is accepted.

    Raises:
        Unreadable: No picture, truncated, too many pixels, or more than 200 times as long as wide.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on odd metadata, and the bomb that we refuse
            with Image.open(io.BytesIO(data), formats=_formats()) as opened:
                _check_size(*opened.size, max_pixels)
                opened.load()
                return _rgb(_upright(opened))
    except Unreadable:
        raise
    # Pillow's decoders raise what their formats' parsers raise: SyntaxError, struct.error, ...
    except Exception as error:
        raise Unreadable(f"it is no picture that can be read ({_reason(error)})") from error


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    from PIL import Image

    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise Unreadable(f"it has {width} x {height} pixels, more than {max_pixels:,} (max_pixels)")
    if max(width, height) > _MAX_RATIO * min(width, height):
        raise Unreadable(
            f"it has {width} x {height} pixels: one side is more than {_MAX_RATIO} times the other"
        )


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged metadata; the picture itself has been decoded
        return image


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return "cannot identify image file" if "BytesIO" in str(error) else (lines or ["damaged"])[0]


def _rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        image = _eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layered)
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale grey of 16 bits by its range, of 32 bits, which has none, by its darkest and lightest.

    The grey level that a file calls transparent is of its own depth, and is left out.
    """
    low, high = (0.0, 65535.0) if image.mode.startswith("I;16") else _extrema(image)
    scale = 255.0 / max(high - low, 1e-9)
    scaled = image.convert("F").point(lambda value: value * scale - low * scale).convert("L")
    scaled.info.pop("transparency", None)
    return scaled


def _extrema(image: Image.Image) -> tuple[float, float]:
    extrema: Any = image.getextrema()  # of one band: two numbers
    return float(extrema[0]), float(extrema[1])


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
