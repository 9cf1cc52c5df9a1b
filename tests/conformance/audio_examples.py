"""Examples for the audio encoders: a small random wav2vec 2.0 on disk, made by transformers."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from typing import Any

import torch

__all__ = ["AUDIO_EXAMPLES"]


def _wav2vec2() -> str:
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model, utils

    folder = tempfile.mkdtemp(prefix="rankloom-wav2vec2-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8, 8),
        conv_kernel=(10, 3),
        conv_stride=(5, 2),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
    )
    bars: Any = utils.logging
    bars.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        Wav2Vec2Model(config).save_pretrained(folder)
    bars.enable_progress_bar()
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    return folder


AUDIO_EXAMPLES: dict[str, dict[str, Any]] = {
    "encoder:audio_transformer": {"model": _wav2vec2(), "precision": "float32"},
    "encoder:log_mel": {"n_mels": 16},
}
