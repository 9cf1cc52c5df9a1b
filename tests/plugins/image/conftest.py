"""A small CLIP and a few pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ...conformance.tiny_clip import save_tiny_clip  # noqa: TID252 (tests are no package)


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("models") / "clip")


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    """Smooth random pictures of different sizes and shapes."""
    rng = np.random.default_rng(0)
    sizes = [(40, 60), (64, 64), (90, 33), (32, 32), (300, 200)]
    grids = [rng.integers(0, 256, (4, 4, 3), dtype=np.uint8) for _ in sizes]
    small = [Image.fromarray(grid) for grid in grids]
    return [
        one.resize(size, Image.Resampling.BICUBIC) for one, size in zip(small, sizes, strict=True)
    ]


@pytest.fixture(scope="session")
def files(pictures: list[Image.Image]) -> list[bytes]:
    """The same as PNG."""
    return [png(picture) for picture in pictures]


def png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
