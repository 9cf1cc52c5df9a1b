"""Log-mel statistics: a description of sounds that needs no weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rankloom.errors import ConfigError
from rankloom.nn.audio import AudioEncoder
from rankloom.protocols import Build
from rankloom_plugins.audio.mel import LogMel, deltas, segment_statistics
from rankloom_plugins.audio.plugin import LogMelConfig

__all__ = ["LogMelEncoder"]

#: What is this much quieter than a clip's peak counts as no quieter: 80 dB, as a natural logarithm.
_RANGE = 8 * math.log(10)


class LogMelEncoder(AudioEncoder):
    """Mean and standard deviation of every mel band and of its slope, in parts of the clip.

    Args:
        config: Settings.
        build: ``base_dir`` is where ``root`` starts.

    Raises:
        ConfigError: So many bands that some lie between two frequencies of the transform.
    """

    config: LogMelConfig

    def __init__(self, config: LogMelConfig, build: Build) -> None:
        width = 4 * config.n_mels * config.segments
        super().__init__(config, build, width, config.rate)
        window = max(2, round(config.window_ms * config.rate / 1000))
        hop = max(1, round(config.hop_ms * config.rate / 1000))
        self.mel = LogMel(config.n_mels, config.rate, window, hop)
        empty = int((self.mel.filters.sum(0) == 0).sum())
        if empty:
            raise ConfigError(
                f"log_mel: {empty} of the {config.n_mels} mel bands are narrower than what a "
                f"window of {config.window_ms:g} ms tells apart. Lower 'n_mels' or raise "
                "'window_ms'."
            )

    def load_network(self) -> None:
        """There is none."""
        return None

    def settings(self) -> Mapping[str, Any]:
        """Return rate, bands, window, parts and limits."""
        config = self.config
        return {
            "version": 1,
            "rate": config.rate,
            "n_mels": config.n_mels,
            "window": self.mel.window,
            "hop": self.mel.hop,
            "segments": config.segments,
            "normalize": config.normalize,
            "max_seconds": config.max_seconds,
        }

    def vectors(self, network: Any, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return ``[n, width]``: for each part means, deviations, and those of the slopes."""
        lengths = tensors["length"]
        samples = tensors["samples"][:, : int(lengths.max())]
        # Powers span twenty decades: half precision has no place here.
        with torch.autocast(samples.device.type, enabled=False):
            frames = self.mel(samples.float())
            counts = self.mel.frames(lengths)
            if self.config.normalize:
                frames = _standardised(frames, counts)
            slopes = deltas(frames, counts)
            parts = [segment_statistics(x, counts, self.config.segments) for x in (frames, slopes)]
        return torch.cat(parts, dim=2).flatten(1)


def _standardised(frames: Tensor, counts: Tensor) -> Tensor:
    """Standardise each row over its real frames and all bands; what is silent throughout is 0."""
    real = (torch.arange(frames.shape[1], device=frames.device)[None] < counts[:, None])[..., None]
    peak = frames.masked_fill(~real, -torch.inf).amax((1, 2), keepdim=True)
    frames = torch.maximum(frames, peak - _RANGE)
    n = (counts * frames.shape[2])[:, None, None].to(frames.dtype)
    mean = (frames * real).sum((1, 2), keepdim=True) / n
    std = (((frames - mean).square() * real).sum((1, 2), keepdim=True) / n).sqrt()
    return (frames - mean) / std.clamp(min=1e-3)
