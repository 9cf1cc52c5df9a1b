"""Audio models on disk, read without running code that comes with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from rankloom.errors import ConfigError
from rankloom.nn.pretrained import loading

__all__ = ["load_config", "load_extractor", "load_network"]

#: What a directory holds beside settings and weights.
_BESIDE = "preprocessor_config.json"

#: Drawn for training alone, so that many files of weights lack it.
_UNUSED = "masked_spec_embed"


def load_config(name: str, folder: Path) -> Any:
    """Read ``config.json``.

    Raises:
        ConfigError: It is missing, or of no architecture that transformers knows.
    """
    from transformers import AutoConfig

    with loading(name, _BESIDE):
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)


def load_extractor(name: str, folder: Path) -> Any:
    """Read ``preprocessor_config.json``: how a model wants its sounds.

    Raises:
        ConfigError: It is missing, or for something else than sounds.
    """
    import transformers

    kind: Any = transformers.AutoFeatureExtractor

    with loading(name, _BESIDE):
        extractor = kind.from_pretrained(folder, trust_remote_code=False)
    if not isinstance(getattr(extractor, "sampling_rate", None), int):
        raise ConfigError(
            f"model: the feature extractor of {name!r} ({type(extractor).__name__}) states no "
            "sampling_rate: it is none of sounds. Use a model of sounds."
        )
    return extractor


def load_network(kind: Any, name: str, folder: Path, config: Any) -> nn.Module:
    """Load weights in float32.

    Args:
        kind: A class of transformers with ``from_pretrained``.
        name: What the config calls the model.
        folder: Where the weights are.
        config: The network's settings.

    Raises:
        ConfigError: The weights lack a part of the network.
    """
    with loading(name, _BESIDE):
        network, found = kind.from_pretrained(folder, config=config, output_loading_info=True)
    missing = sorted(key for key in found["missing_keys"] if not key.endswith(_UNUSED))
    if missing:
        raise ConfigError(
            f"model: the weights of {name!r} lack {len(missing)} tensors of the network (first: "
            f"{missing[0]}). They belong to another architecture than config.json says."
        )
    loaded: nn.Module = network.float()
    return loaded
