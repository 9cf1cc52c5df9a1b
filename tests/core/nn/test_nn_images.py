from __future__ import annotations

import io
import resource
import struct
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from rankloom.nn.images import decode_image, to_tensor
from rankloom.nn.media import Unreadable

LIMIT = 50_000_000


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def decoded(data: bytes, max_pixels: int = LIMIT) -> np.ndarray:
    picture = decode_image(data, max_pixels)
    assert picture.mode == "RGB"
    return np.asarray(picture)


def refused(data: bytes, max_pixels: int = LIMIT) -> str:
    with pytest.raises(Unreadable) as caught:
        decode_image(data, max_pixels)
    return str(caught.value)


def png_header(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG whose header says how large it is; ``rows`` is what its pixels unpack to."""
    out = b"\x89PNG\r\n\x1a\n"
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for name, data in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        out += struct.pack(">I", len(data)) + name + data
        out += struct.pack(">I", zlib.crc32(name + data))
    return out


@pytest.fixture
def corner() -> Image.Image:
    """Black, with red in the upper left quarter of 8 x 4 pixels."""
    picture = Image.new("RGB", (8, 4))
    picture.paste((255, 0, 0), (0, 0, 4, 2))
    return picture


def test_rgb_is_kept(corner: Image.Image) -> None:
    assert (decoded(saved(corner, "PNG")) == np.asarray(corner)).all()
    tensor = to_tensor(corner)
    assert tensor.shape == (3, 4, 8)
    assert (tensor.permute(1, 2, 0).numpy() == np.asarray(corner)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(corner: Image.Image, orientation: int) -> None:
    turned = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = corner
    for step in turned.get(orientation, []):
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decoded(saved(stored, "JPEG", exif=exif, quality=100, subsampling=0))
    assert found.shape == (4, 8, 3)
    assert found[0, 0, 0] > 200
    assert found[3, 7].max() < 50
    assert found[0, 7].max() < 50


def test_damaged_exif_is_no_obstacle(corner: Image.Image) -> None:
    data = saved(corner, "JPEG", exif=b"Exif\x00\x00rubbish that is no TIFF header")
    assert decoded(data).shape == (4, 8, 3)


def test_grey_of_8_and_16_bits_look_the_same() -> None:
    levels = np.arange(0, 256, 5, dtype=np.uint8)[None].repeat(3, 0)
    plain = decoded(saved(Image.fromarray(levels), "PNG"))
    assert (plain == levels[..., None]).all()
    deep = Image.fromarray(levels.astype(np.uint16) * 257)
    assert deep.mode == "I;16"
    for kind in ("PNG", "TIFF"):
        assert np.abs(decoded(saved(deep, kind)).astype(int) - plain).max() <= 1


def test_floats_are_stretched_over_their_range() -> None:
    ramp = Image.fromarray(np.linspace(-3, 5, 12, dtype=np.float32).reshape(3, 4))
    found = decoded(saved(ramp, "TIFF"))
    assert (found[0, 0].tolist(), found[-1, -1].tolist()) == ([0] * 3, [255] * 3)
    flat = Image.fromarray(np.full((3, 4), 7, dtype=np.float32))
    assert decoded(saved(flat, "TIFF")).max() == 0


def test_transparency_is_laid_on_white() -> None:
    clear = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    clear.putpixel((1, 0), (0, 0, 0, 0))
    assert decoded(saved(clear, "PNG")).tolist() == [[[255, 0, 0], [255, 255, 255]]]
    half = Image.new("LA", (1, 1), (0, 128))
    assert decoded(saved(half, "PNG"))[0, 0, 0] == pytest.approx(127, abs=1)


def test_palettes_with_and_without_transparency() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putpixel((1, 0), 1)
    assert decoded(saved(palette, "PNG")).tolist() == [[[255, 0, 0], [0, 0, 255]]]
    for clear in (1, bytes([255, 0])):  # an index, or an opacity for each colour
        found = decoded(saved(palette, "PNG", transparency=clear))
        assert found.tolist() == [[[255, 0, 0], [255, 255, 255]]]


def test_cmyk_jpeg() -> None:
    ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # magenta and yellow: red
    found = decoded(saved(ink, "JPEG", quality=100))
    assert np.abs(found.astype(int) - [255, 0, 0]).max() < 20


def test_of_an_animation_the_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "green")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert decoded(data)[0, 0].tolist() == [255, 0, 0]


def test_a_truncated_picture_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for kind in ("JPEG", "PNG"):
        data = saved(Image.fromarray(noise), kind)
        assert "truncated" in refused(data[: len(data) // 2])


def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded() -> None:
    bomb = png_header(50_000, 50_000, bytes(1_000_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    try:
        for limit in (LIMIT, 10**7):
            reason = refused(bomb, limit)
            assert "50000 x 50000" in reason or "exceeds limit" in reason
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    unit = 1 if sys.platform == "darwin" else 1024
    assert peak < 10_000_000
    assert grown * unit < 50_000_000  # decoded it would be 7.5 GB
    assert refused(saved(Image.new("RGB", (40, 30)), "PNG"), 1199) == (
        "it has 40 x 30 pixels, more than 1,199 (max_pixels)"
    )
    assert decoded(saved(Image.new("RGB", (40, 30)), "PNG"), 1200).shape == (30, 40, 3)


def test_a_line_of_pixels_is_refused() -> None:
    """Scaled by its shorter side to 224 pixels it would have 11 billion."""
    assert "more than 200 times" in refused(png_header(50_000_000, 1))
    assert decoded(saved(Image.new("RGB", (200, 1)), "PNG")).shape == (1, 200, 3)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"this is a text that is called photo.png",
        b"<svg xmlns='x'></svg>",
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    assert refused(data).startswith("it is no picture that can be read (")


def test_what_would_start_a_program_is_refused() -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    assert "cannot identify" in refused(eps)
