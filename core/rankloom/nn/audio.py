"""Sounds of any kind to mono samples, and the base of audio encoders.

Importing this module needs the extra ``audio`` (soundfile and soxr).
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
import torch
from torch import Tensor

from rankloom.components import AudioEncoderConfig
from rankloom.nn.media import Unreadable
from rankloom.nn.media_encoder import MediaEncoder
from rankloom.protocols import Build

__all__ = ["AudioEncoder", "decode_audio"]

#: Sampling rates of a file that is believed, in Hz.
RATES = (1_000, 768_000)

_ORDERS: dict[bytes, Literal["little", "big"]] = {b"RIFF": "little", b"FORM": "big"}
_BLOCK = 1 << 18  # numbers decoded at once, all channels together: one MiB
_BLOCK_SECONDS = 1920.0  # of sound in one block of values


def decode_audio(data: bytes, rate: int, max_seconds: float) -> Tensor:
    """Decode the start of a sound into mono.

    The file is decoded, mixed (the mean of its channels) and resampled block by block, so that
    memory holds the result and one block, whatever the file's channels and rate.

    Args:
        data: The file: WAV, FLAC, Ogg, MP3 and whatever else libsndfile reads.
        rate: Samples a second that are wanted.
        max_seconds: Seconds kept, from the start; nothing after them is decoded.

    Returns:
        ``[samples]`` float32, at least one.

    Raises:
        Unreadable: No sound, damaged, without samples, of a rate beyond ``RATES``, or with samples
            that are not finite.
    """
    _require_whole(data)
    try:
        with soundfile.SoundFile(_Bytes(data)) as sound:
            low, high = RATES
            if not low <= sound.samplerate <= high:
                raise Unreadable(
                    f"its sampling rate is {sound.samplerate:,} Hz, not between {low:,} and "
                    f"{high:,} Hz"
                )
            wanted = math.ceil(max_seconds * sound.samplerate)
            samples = _resampled(_mono(sound, wanted), sound.samplerate, rate)
    except (soundfile.SoundFileError, RuntimeError, OverflowError) as error:
        raise Unreadable(f"it is no sound that can be read ({_reason(error)})") from error
    if not len(samples):
        raise Unreadable("it has no samples")
    if not np.isfinite(samples).all():
        raise Unreadable("it has samples that are not finite")
    return torch.from_numpy(samples[: math.ceil(max_seconds * rate)].copy())


def _require_whole(data: bytes) -> None:
    """Refuse a WAV or AIFF that is cut off, which libsndfile would shorten without a word."""
    order = _ORDERS.get(data[:4])
    if order is None or len(data) < 8:
        return
    stated = 8 + int.from_bytes(data[4:8], order)
    # Written to a pipe, a WAV does not know its length and states the largest.
    if len(data) < stated < 0x7FFF0000:
        raise Unreadable(f"it is cut off: {len(data):,} of {stated:,} bytes are there")


class _Bytes(io.BytesIO):
    """Bytes that libsndfile may seek in by what a damaged header says."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        start = (0, self.tell(), len(self.getbuffer()))[whence]
        return super().seek(max(0, start + offset))


def _mono(sound: soundfile.SoundFile, wanted: int) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the first ``wanted`` frames as the mean of their channels, in blocks."""
    size = max(1, _BLOCK // sound.channels)
    stated = min(wanted, sound.frames)
    left = wanted
    while left > 0:
        block = sound.read(min(size, left), dtype="float32", always_2d=True)
        if not len(block):
            break
        left -= len(block)
        yield block.mean(axis=1, dtype=np.float32)
    found = wanted - left
    # The length of an MP3 is an estimate; any other file states what it holds.
    if found < stated and sound.format not in ("MPEG", "MP3"):
        raise Unreadable(f"it ends after {found:,} of {stated:,} frames")


def _resampled(
    blocks: Iterator[npt.NDArray[np.float32]], source: int, rate: int
) -> npt.NDArray[np.float32]:
    if source == rate:
        parts = list(blocks)
    else:
        stream = soxr.ResampleStream(source, rate, 1, dtype="float32", quality="HQ")
        parts = [stream.resample_chunk(block) for block in blocks]
        if parts:
            parts.append(stream.resample_chunk(np.empty(0, dtype=np.float32), last=True))
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)


def _reason(error: Exception) -> str:
    text = str(getattr(error, "error_string", "") or error).strip().rstrip(".")
    return text or type(error).__name__


class AudioEncoder(MediaEncoder):
    """An encoder of sounds: every clip is decoded to mono at one rate.

    Args:
        config: Settings.
        build: ``base_dir`` is where ``root`` starts.
        width: Width of what ``vectors`` yields.
        rate: Samples a second that the encoder hears.
    """

    config: AudioEncoderConfig

    def __init__(self, config: AudioEncoderConfig, build: Build, width: int, rate: int) -> None:
        super().__init__(config, build, width)
        self.rate = rate
        # Decoded values wait together: about half an hour of sound, however long clips may be.
        self.block_size = max(1, min(64, int(_BLOCK_SECONDS / config.max_seconds)))

    def transform(self, samples: Tensor) -> Mapping[str, Tensor]:
        """Turn one clip ``[samples]`` into tensors, as ``decode`` returns them.

        Default: ``samples [t]`` and ``length``, a scalar int64 that survives padding.
        """
        return {"samples": samples, "length": torch.tensor(len(samples))}

    def decode(self, data: bytes) -> Mapping[str, Tensor]:
        """Decode the first ``max_seconds`` and transform them."""
        return self.transform(decode_audio(data, self.rate, self.config.max_seconds))

    def cost(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Return the clips' lengths, where there are any: batches are of like length."""
        return tensors.get("length")
