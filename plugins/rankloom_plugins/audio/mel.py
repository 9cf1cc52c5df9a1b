"""The log-mel spectrogram of sounds of different lengths, by torch alone."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["FLOOR", "LogMel", "deltas", "mel_filters", "segment_statistics"]

#: Least power of a band, so that digital silence has a logarithm.
FLOOR = 1e-10

_LINEAR = 200 / 3  # Hz a mel below 1 kHz
_BREAK = 1000.0
_STEP = math.log(6.4) / 27  # log-frequency a mel above it


def _to_mel(hertz: float) -> float:
    if hertz < _BREAK:
        return hertz / _LINEAR
    return _BREAK / _LINEAR + math.log(hertz / _BREAK) / _STEP


def mel_filters(n_mels: int, n_fft: int, rate: int) -> Tensor:
    """Return triangular filters of equal area, equally spaced on Slaney's mel scale.

    The scale is linear below 1 kHz and logarithmic above it (M. Slaney, Auditory Toolbox, technical
    report 1998-010, Interval Research, 1998), as in librosa.

    Args:
        n_mels: Bands between 0 Hz and half the rate.
        n_fft: Length of the Fourier transform.
        rate: Samples a second.

    Returns:
        ``[n_fft // 2 + 1, n_mels]`` float32.
    """
    mels = torch.linspace(0, _to_mel(rate / 2), n_mels + 2, dtype=torch.float64)
    knee = _BREAK / _LINEAR
    edges = torch.where(
        mels < knee, mels * _LINEAR, _BREAK * torch.exp((mels - knee).clamp(min=0) * _STEP)
    )
    bins = torch.linspace(0, rate / 2, n_fft // 2 + 1, dtype=torch.float64)[:, None]
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    return (torch.minimum(rising, falling).clamp(min=0) * 2 / (high - low)).float()


class LogMel:
    """Waveforms to natural logarithms of mel power, frame by frame.

    Args:
        n_mels: Bands.
        rate: Samples a second.
        window: Samples of a frame (Hann).
        hop: Samples from frame to frame.
    """

    def __init__(self, n_mels: int, rate: int, window: int, hop: int) -> None:
        self.window, self.hop = window, hop
        self.n_fft = 1 << max(0, window - 1).bit_length()
        self.filters = mel_filters(n_mels, self.n_fft, rate)
        self.shape = torch.hann_window(window)

    def frames(self, lengths: Tensor) -> Tensor:
        """Return how many frames clips of ``lengths`` samples fill; at least one."""
        return 1 + (lengths - self.window).clamp(min=0) // self.hop

    def __call__(self, samples: Tensor) -> Tensor:
        """Return ``[n, frames, n_mels]``; frame j covers samples ``j * hop`` to ``+ window``.

        Args:
            samples: ``[n, t]`` float32; clips are padded with zeros on the right.
        """
        missing = max(0, self.window - samples.shape[1])
        # torch.stft lays the window in the middle of its n_fft samples.
        left = (self.n_fft - self.window) // 2
        right = self.n_fft - self.window - left
        padded = F.pad(samples, (left, right + missing))
        spectrum = torch.stft(
            padded,
            self.n_fft,
            hop_length=self.hop,
            win_length=self.window,
            window=self.shape.to(samples.device),
            center=False,
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        mel = power.transpose(1, 2) @ self.filters.to(samples.device)
        return mel.clamp(min=FLOOR).log()


def deltas(frames: Tensor, counts: Tensor) -> Tensor:
    """Return the slope at each frame over two frames on either side.

    Regression coefficients as in the HTK Book (Young et al., 2006), eq. 5.16; beyond a clip's ends
    its first and last frames go on.

    Args:
        frames: ``[n, t, bands]``.
        counts: ``[n]`` real frames of each row.
    """
    at = torch.arange(frames.shape[1], device=frames.device)
    last = (counts - 1)[:, None]
    out = torch.zeros_like(frames)
    for step in (1, 2):
        ahead = torch.minimum((at + step)[None], last)
        behind = torch.minimum((at - step).clamp(min=0)[None], last)
        out += step * (_taken(frames, ahead) - _taken(frames, behind))
    return out / 10


def _taken(frames: Tensor, at: Tensor) -> Tensor:
    return frames.gather(1, at[..., None].expand(-1, -1, frames.shape[2]))


def segment_statistics(frames: Tensor, counts: Tensor, segments: int) -> Tensor:
    """Return mean and standard deviation of every band in equal parts of each row.

    Args:
        frames: ``[n, t, bands]``.
        counts: ``[n]`` real frames of each row, at least one.
        segments: Parts; where a row has fewer frames, parts share them.

    Returns:
        ``[n, segments, 2 * bands]``.
    """
    at = torch.arange(frames.shape[1], device=frames.device)[None]
    out = []
    for part in range(segments):
        start = part * counts // segments
        stop = torch.maximum(start + 1, (part + 1) * counts // segments)
        inside = ((at >= start[:, None]) & (at < stop[:, None]))[..., None]
        size = (stop - start)[:, None].to(frames.dtype)
        mean = (frames * inside).sum(1) / size
        spread = ((frames - mean[:, None]).square() * inside).sum(1) / size
        out.append(torch.cat([mean, spread.sqrt()], dim=1))
    return torch.stack(out, dim=1)
