"""Manifest: encoders of sounds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from rankloom import AudioEncoderConfig, ComponentSpec, component, hookimpl

__all__ = ["AudioTransformerConfig", "LogMelConfig", "register_encoders"]


class LogMelConfig(AudioEncoderConfig):
    """Means and deviations of a sound's log-mel spectrogram; needs no weights."""

    type: Literal["log_mel"] = "log_mel"
    rate: int = Field(default=16_000, ge=1_000, le=192_000)
    """Samples a second that sounds are brought to."""
    n_mels: int = Field(default=64, ge=2)
    """Mel bands between 0 Hz and half the rate."""
    window_ms: float = Field(default=25.0, gt=0)
    """Milliseconds that one spectrum covers."""
    hop_ms: float = Field(default=10.0, gt=0)
    """Milliseconds from one spectrum to the next."""
    segments: int = Field(default=4, ge=1)
    """Equal parts of a sound, each with its own means and deviations: its course in time."""
    normalize: bool = True
    """Standardise each spectrogram (80 dB below its peak and more count as 80): how loud a sound
    was recorded then makes no difference."""

    @model_validator(mode="after")
    def _hop_within_window(self) -> LogMelConfig:
        if self.hop_ms > self.window_ms:
            raise ValueError("'hop_ms' must not exceed 'window_ms': parts would go unheard")
        return self


class AudioTransformerConfig(AudioEncoderConfig):
    """Sound through a frozen transformer: AST, wav2vec 2.0 and its kin, CLAP's audio tower."""

    type: Literal["audio_transformer"] = "audio_transformer"
    model: str
    """A directory (``save_pretrained``, with ``preprocessor_config.json``), a hub name, or
    ``package:NAME/PATH`` (weights inside an installed package)."""
    pooling: Literal["model", "mean"] = "model"
    """``model``: the model's own vector (AST's pooler, CLAP's projection) where it has one, else
    the mean; ``mean``: the mean over the real frames (AST: over the patches)."""
    normalize: bool = False
    """Scale vectors to length 1."""
    sha256: str | None = Field(default=None, pattern="^[0-9a-fA-F]{64}$")
    """Expected sha256 of ``model.safetensors``; other weights are refused."""


@hookimpl
def register_encoders() -> list[ComponentSpec]:
    """Register the audio encoders."""
    return [
        component(
            LogMelConfig,
            "rankloom_plugins.audio.log_mel:LogMelEncoder",
            modality="audio",
            extras=["audio"],
        ),
        component(
            AudioTransformerConfig,
            "rankloom_plugins.audio.audio_transformer:AudioTransformerEncoder",
            modality="audio",
            extras=["audio"],
        ),
    ]
