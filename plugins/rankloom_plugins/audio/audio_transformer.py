"""Frozen transformers of sound, each with its own feature extractor."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from rankloom.nn.audio import AudioEncoder
from rankloom.nn.weights import resolve_weights, weights_digest
from rankloom.protocols import Build
from rankloom_plugins.audio.families import family_of
from rankloom_plugins.audio.loading import load_config, load_extractor
from rankloom_plugins.audio.plugin import AudioTransformerConfig

__all__ = ["AudioTransformerEncoder"]


class AudioTransformerEncoder(AudioEncoder):
    """AST (Gong et al., 2021), wav2vec 2.0 and its kin (Baevski et al., 2020), CLAP (Wu et al.,
    2023): one vector a clip, whatever clips stand beside it.

    Args:
        config: Settings.
        build: ``base_dir`` is where ``root`` and a relative ``model`` directory start.

    Raises:
        ConfigError: The model cannot be found, or is of no family that is known here.
    """

    config: AudioTransformerConfig

    def __init__(self, config: AudioTransformerConfig, build: Build) -> None:
        self._base_dir = build.base_dir
        light = resolve_weights(config.model, build.base_dir, config_only=True)
        self.model_config = load_config(config.model, light)
        extractor = load_extractor(config.model, light)
        family = family_of(config.model, self.model_config, extractor, config.pooling)
        super().__init__(config, build, family.width, int(extractor.sampling_rate))
        self.family = family

    @cached_property
    def folder(self) -> Path:
        """The directory with the weights, their digest checked."""
        return resolve_weights(self.config.model, self._base_dir, self.config.sha256)

    def load_network(self) -> nn.Module:
        """Return the network in float32.

        Raises:
            ConfigError: The weights do not fit ``config.json``.
        """
        return self.family.load(self.config.model, self.folder)

    def settings(self) -> Mapping[str, Any]:
        """Return the digest of the weights, the files' settings and our own."""
        return {
            "version": 1,
            "weights": weights_digest(self.folder),
            "model": self.model_config.to_json_string(use_diff=False),
            "extractor": self.family.extractor.to_json_string(),
            "extracted_by": self.family.extracted_by,
            "pooling": self.config.pooling,
            "normalize": self.config.normalize,
            "max_seconds": self.config.max_seconds,
        }

    def transform(self, samples: Tensor) -> Mapping[str, Tensor]:
        """Run the model's feature extractor on one clip."""
        return self.family.extract(samples)

    def vectors(self, network: Any, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return ``[n, width]``."""
        out = self.family.vectors(network, tensors)
        return F.normalize(out.float(), dim=1) if self.config.normalize else out
