from __future__ import annotations

import io
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from rankloom.nn.audio import decode_audio
from rankloom.nn.media import Unreadable


def sine(rate: int, seconds: float, hertz: float = 440.0) -> np.ndarray[Any, Any]:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def file(samples: np.ndarray[Any, Any], rate: int, form: str = "WAV", **more: Any) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=form, **more)
    return out.getvalue()


@pytest.mark.parametrize("source", [8_000, 11_025, 16_000, 44_100, 192_000])
@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_rates_keep_length_and_frequency(source: int, rate: int) -> None:
    samples = decode_audio(file(sine(source, 1.0), source), rate, 30)
    assert samples.dtype == torch.float32
    assert abs(len(samples) - rate) <= 1
    power = torch.fft.rfft(samples[: rate - 1] * torch.hann_window(rate - 1)).abs()
    assert abs(int(power.argmax()) - 440) <= 1
    assert 0.49 < samples.abs().max() < 0.51


@pytest.mark.parametrize(
    ("form", "subtype", "tolerance"),
    [("FLAC", None, 1e-4), ("OGG", "VORBIS", 0.1), ("MP3", None, 0.1), ("AIFF", None, 1e-4)],
)
def test_formats(form: str, subtype: str | None, tolerance: float) -> None:
    wanted = sine(16_000, 0.5)
    samples = decode_audio(file(wanted, 16_000, form, subtype=subtype), 16_000, 30)
    assert len(samples) == pytest.approx(8000, abs=1200)
    middle = slice(2000, 6000)
    np.testing.assert_allclose(samples[middle].abs().max(), 0.5, atol=tolerance + 0.01)
    if form in ("FLAC", "AIFF"):
        np.testing.assert_allclose(samples, wanted, atol=tolerance)


def test_mono_is_the_mean_of_the_channels() -> None:
    left, right = sine(16_000, 0.1), sine(16_000, 0.1, 1000)
    both = file(np.stack([left, right, 0 * left], 1), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(decode_audio(both, 16_000, 30), (left + right) / 3, atol=1e-6)


def test_no_more_is_decoded_than_wanted() -> None:
    samples = np.arange(16_000) / 16_000
    data = file(samples, 16_000, subtype="FLOAT")
    assert torch.equal(
        decode_audio(data, 16_000, 0.25), torch.from_numpy(samples[:4000].astype(np.float32))
    )
    assert len(decode_audio(data, 8_000, 0.25)) == 2000
    damaged = bytearray(data)
    damaged[-400:] = struct.pack("<f", float("nan")) * 100
    assert len(decode_audio(bytes(damaged), 16_000, 0.9)) == 14_400  # its end is not looked at
    with pytest.raises(Unreadable, match="not finite"):
        decode_audio(bytes(damaged), 16_000, 30)


def test_memory_is_bounded_by_the_result() -> None:
    """Eight channels at 192 kHz: 60 seconds are 369 MB as float32."""
    noise = np.random.default_rng(0).integers(-9000, 9000, (192_000, 8)).astype(np.int16)
    head = file(noise[:1], 192_000)[:-16]
    data = bytearray(head + noise.tobytes() * 20)
    data[4:8] = struct.pack("<I", len(data) - 8)
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", len(data) - at - 4)
    whole = bytes(data)
    tracemalloc.start()
    samples = decode_audio(whole, 16_000, 15)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(samples) == 240_000
    # The copy of the file that libsndfile reads from, the result twice, and a block.
    assert peak < len(whole) + 8e6


def test_blocks_join_without_a_seam() -> None:
    import soxr

    noise = np.random.default_rng(0).standard_normal(400_000).astype(np.float32) * 0.1
    many = file(np.repeat(noise[:, None], 3, 1), 44_100, subtype="FLOAT")
    found = decode_audio(many, 16_000, 30)
    np.testing.assert_allclose(found, soxr.resample(noise, 44_100, 16_000), atol=1e-5)


def test_wrong_files() -> None:
    whole = file(sine(16_000, 0.5), 16_000)
    rate = bytearray(whole)
    rate[24:28] = struct.pack("<I", 900_000_000)
    slow = bytearray(whole)
    slow[24:28] = struct.pack("<I", 3)
    flac = file(sine(16_000, 0.5), 16_000, "FLAC")
    cases = [
        (b"", "no sound that can be read"),
        (b"GIF89a and so on", "no sound that can be read"),
        (b"RIFF", "no sound that can be read"),
        (b"\0" * 5000, "no sound that can be read"),
        (file(np.zeros(0), 16_000), "it has no samples"),
        (whole[:4000], "it is cut off: 4,000 of 16,044 bytes are there"),
        (flac[: len(flac) // 2], "no sound that can be read"),
        (bytes(rate), "900,000,000 Hz, not between"),
        (bytes(slow), "3 Hz, not between"),
        (file(np.array([0.1, np.inf]), 16_000, subtype="FLOAT"), "not finite"),
    ]
    for data, message in cases:
        with pytest.raises(Unreadable, match=message):
            decode_audio(data, 16_000, 30)


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "AIFF"])
def test_damage_is_unreadable_or_bounded(form: str) -> None:
    """Whatever bytes are flipped: an answer within the limit, or one clear exception."""
    generator = np.random.default_rng(1)
    whole = file(sine(16_000, 0.5), 16_000, form)
    for _ in range(150):
        data = bytearray(whole)
        for at in generator.integers(0, generator.choice([64, len(data)]), 5):
            data[at] = generator.integers(256)
        try:
            samples = decode_audio(bytes(data), 8_000, 2)
        except Unreadable:
            continue
        assert 0 < len(samples) <= 16_000
        assert samples.isfinite().all()
