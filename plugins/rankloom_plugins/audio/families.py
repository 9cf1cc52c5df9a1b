"""What differs between kinds of audio transformers: their input, their padding, their vector."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankloom.errors import ConfigError
from rankloom_plugins.audio.clap import repeatable
from rankloom_plugins.audio.loading import load_network

__all__ = ["Family", "family_of"]

#: Networks over waveforms whose padding their attention mask hides completely.
_MASKED = ("wav2vec2", "hubert", "unispeech", "unispeech-sat")
_WAVES = (*_MASKED, "wavlm", "data2vec-audio", "wav2vec2-conformer")
_AST = "audio-spectrogram-transformer"
_CLAP = ("clap", "clap_audio_model")


class Family(ABC):
    """One kind of network.

    Args:
        config: The network's settings.
        extractor: Its feature extractor.
        pooling: ``model`` or ``mean``.

    Attributes:
        width: Width of a vector.
        extracted_by: What else the extractor's result depends on.
    """

    width: int
    extracted_by = "numpy"

    def __init__(self, config: Any, extractor: Any, pooling: str) -> None:
        self.config, self.extractor, self.pooling = config, extractor, pooling

    @abstractmethod
    def extract(self, samples: Tensor) -> Mapping[str, Tensor]:
        """Turn one clip ``[samples]`` into the network's input."""

    @abstractmethod
    def load(self, name: str, folder: Path) -> nn.Module:
        """Load the network."""

    @abstractmethod
    def vectors(self, network: Any, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return ``[n, width]``, each row by itself."""

    def _extracted(self, samples: Tensor) -> Any:
        rate = self.extractor.sampling_rate
        return self.extractor(samples.numpy(), sampling_rate=rate, return_tensors="pt")


class Waves(Family):
    """wav2vec 2.0 and its kin: waveforms to frames, of which the mean is taken.

    A network that normalises its first layer over time (``feat_extract_norm: group``, such as
    wav2vec2-base) was trained without a mask, and padding would change what it says: its clips run
    in batches of equal length.
    """

    def __init__(self, config: Any, extractor: Any, pooling: str) -> None:
        super().__init__(config, extractor, pooling)
        adapter = bool(getattr(config, "add_adapter", False))
        self.width = int(config.output_hidden_size if adapter else config.hidden_size)
        self.masked = (
            config.model_type in _MASKED
            and config.feat_extract_norm == "layer"
            and not adapter
            and not getattr(config, "conv_pos_batch_norm", False)
        )
        self.least = 1  # samples for one frame
        for kernel, stride in zip(
            reversed(config.conv_kernel), reversed(config.conv_stride), strict=True
        ):
            self.least = (self.least - 1) * stride + kernel

    def extract(self, samples: Tensor) -> Mapping[str, Tensor]:
        """Normalise as the extractor says: ``samples [t]`` and ``length``."""
        padded = F.pad(samples, (0, max(0, self.least - len(samples))))
        values = self._extracted(padded)["input_values"][0].float()
        return {"samples": values, "length": torch.tensor(len(values))}

    def load(self, name: str, folder: Path) -> nn.Module:
        """Load the network without heads."""
        from transformers import AutoModel

        return load_network(AutoModel, name, folder, self.config)

    def vectors(self, network: Any, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the mean over each clip's real frames."""
        samples, lengths = tensors["samples"], tensors["length"]
        if self.masked:
            samples = samples[:, : int(lengths.max())]
            at = torch.arange(samples.shape[1], device=samples.device)
            mask = (at < lengths[:, None]).long()
            frames = network(samples, attention_mask=mask).last_hidden_state.float()
            real = network._get_feature_vector_attention_mask(frames.shape[1], mask)[..., None]
            mean: Tensor = (frames * real).sum(1) / real.sum(1)
            return mean
        out = samples.new_zeros(len(samples), self.width)
        for length in sorted(set(lengths.tolist())):
            rows = torch.nonzero(lengths == length)[:, 0]
            out[rows] = network(samples[rows, :length]).last_hidden_state.float().mean(1)
        return out


class SpectrogramTransformer(Family):
    """AST: a spectrogram of fixed size, its silence part of the picture."""

    def __init__(self, config: Any, extractor: Any, pooling: str) -> None:
        super().__init__(config, extractor, pooling)
        from transformers.utils.import_utils import is_speech_available

        self.width = int(config.hidden_size)
        self.extracted_by = "torchaudio" if is_speech_available() else "numpy"
        self.least = max(400, round(0.025 * extractor.sampling_rate))
        wanted = (config.max_length, config.num_mel_bins)
        if (extractor.max_length, extractor.num_mel_bins) != wanted:
            raise ConfigError(
                f"model: the feature extractor yields {extractor.max_length} frames of "
                f"{extractor.num_mel_bins} bands, but the network takes {wanted[0]} of "
                f"{wanted[1]}. Correct max_length and num_mel_bins in its preprocessor_config.json."
            )

    def extract(self, samples: Tensor) -> Mapping[str, Tensor]:
        """Return ``input_values [frames, bands]``."""
        padded = F.pad(samples, (0, max(0, self.least - len(samples))))
        return {"input_values": self._extracted(padded)["input_values"][0].float()}

    def load(self, name: str, folder: Path) -> nn.Module:
        """Load the network without heads."""
        from transformers import AutoModel

        return load_network(AutoModel, name, folder, self.config)

    def vectors(self, network: Any, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the pooler's vectors, or the mean over the patches."""
        out = network(tensors["input_values"])
        by_model = self.pooling == "model"
        pooled: Tensor = out.pooler_output if by_model else out.last_hidden_state[:, 2:].mean(1)
        return pooled


class Clap(Family):
    """CLAP's audio tower with its projection into the space of texts and sounds."""

    def __init__(self, config: Any, extractor: Any, pooling: str) -> None:
        super().__init__(getattr(config, "audio_config", config), extractor, pooling)
        self.width = int(
            self.config.projection_dim if pooling == "model" else self.config.hidden_size
        )

    def extract(self, samples: Tensor) -> Mapping[str, Tensor]:
        """Return ``input_features [1 or 4, frames, bands]`` and ``is_longer [1]``.

        Of a clip longer than the network's window the extractor takes random parts: here always the
        same ones. And of a batch of short clips it calls one, drawn at random, long: not here.
        """
        with repeatable():
            features = self._extracted(samples)["input_features"][0].float()
        hop, most = self.extractor.hop_length, self.extractor.nb_max_samples
        longer = len(samples) > most
        if self.extractor.truncation == "fusion":  # which goes by whole frames
            longer = len(samples) // hop > most // hop
        return {"input_features": features, "is_longer": torch.tensor([longer])}

    def load(self, name: str, folder: Path) -> nn.Module:
        """Load the audio tower and its projection."""
        from transformers import ClapAudioModelWithProjection

        return load_network(ClapAudioModelWithProjection, name, folder, self.config)

    def vectors(self, network: Any, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return ``audio_embeds``, or the mean over the patches before the projection."""
        pooled: Tensor
        if self.pooling == "model":
            pooled = network(**tensors).audio_embeds
        else:
            pooled = network.audio_model(**tensors).pooler_output
        return pooled


def family_of(name: str, config: Any, extractor: Any, pooling: str) -> Family:
    """Return the family that a model belongs to.

    Raises:
        ConfigError: None that is known here.
    """
    kind = config.model_type
    if kind in _WAVES:
        return Waves(config, extractor, pooling)
    if kind == _AST:
        return SpectrogramTransformer(config, extractor, pooling)
    if kind in _CLAP:
        return Clap(config, extractor, pooling)
    raise ConfigError(
        f"model: {name!r} has model_type {kind!r}, which is none of "
        f"{', '.join((*_WAVES, _AST, *_CLAP))}. Use a model of one of these."
    )
