"""Small random models of true architecture, saved as hubs have them, and clips to feed them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import transformers as t

_WAVE: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8, 8, 8),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 2, 2),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}


def noise(n: int, rate: int = 16_000, seed: int = 0, channels: int = 1) -> np.ndarray[Any, Any]:
    """``[n, channels]`` float32 with a slow swell, so that parts differ."""
    generator = np.random.default_rng(seed)
    swell = np.linspace(0.02, 0.3, n)[:, None]
    return (generator.standard_normal((n, channels)) * swell).astype(np.float32)


def wav(samples: np.ndarray[Any, Any], rate: int = 16_000, **kind: str) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, **{"format": "WAV", "subtype": "FLOAT", **kind})
    return out.getvalue()


def save(folder: Path, network: Any, extractor: Any) -> Any:
    """Save both; return the network, its weights large enough for inputs to matter."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    with quiet():
        network.eval().save_pretrained(folder)
    extractor.save_pretrained(folder)
    return network


@contextmanager
def quiet() -> Iterator[None]:
    logging: Any = t.utils.logging
    logging.disable_progress_bar()
    yield
    logging.enable_progress_bar()


def waves(folder: Path, norm: str, kind: str = "Wav2Vec2", **more: Any) -> tuple[Any, Any]:
    """wav2vec 2.0 or its kin: ``norm`` is ``layer`` or ``group``."""
    torch.manual_seed(1)
    stable = norm == "layer"
    config = getattr(t, f"{kind}Config")(
        **_WAVE, feat_extract_norm=norm, do_stable_layer_norm=stable, **more
    )
    extractor = t.Wav2Vec2FeatureExtractor(return_attention_mask=stable)
    return save(folder, getattr(t, f"{kind}Model")(config), extractor), extractor


def ast(folder: Path) -> tuple[Any, Any]:
    torch.manual_seed(2)
    config = t.ASTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_length=64,
        num_mel_bins=32,
    )
    extractor = t.ASTFeatureExtractor(max_length=64, num_mel_bins=32)
    return save(folder, t.ASTModel(config), extractor), extractor


def clap(folder: Path, fusion: bool, whole: bool = False) -> tuple[Any, Any]:
    """CLAP's audio tower for two seconds at 48 kHz; ``whole``: saved with its text tower."""
    torch.manual_seed(3)
    tower: dict[str, Any] = {
        "hidden_size": 32,
        "patch_embeds_hidden_size": 16,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "num_hidden_layers": 2,
        "spec_size": 256,
        "projection_dim": 12,
        "enable_fusion": fusion,
        "fusion_type": "aff_2d" if fusion else None,
        "patch_embed_input_channels": 1,
    }
    extractor = t.ClapFeatureExtractor(
        max_length_s=2, truncation="fusion" if fusion else "rand_trunc"
    )
    if not whole:
        return save(folder, t.ClapAudioModelWithProjection(t.ClapAudioConfig(**tower)),
                    extractor), extractor  # fmt: skip
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "vocab_size": 50}  # fmt: skip
    config = t.ClapConfig(text_config=text, audio_config=tower, projection_dim=12)
    return save(folder, t.ClapModel(config), extractor), extractor
