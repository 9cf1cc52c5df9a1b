"""Audio models on disk, read without running code that comes with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from rankloom.errors import ConfigError

__all__ = ["load_config", "load_extractor", "load_network"]

#: Drawn for training alone, so that many files of weights lack it.
_UNUSED = "masked_spec_embed"


def load_config(name: str, folder: Path) -> Any:
    """Read ``config.json``.

    Raises:
        ConfigError: It is missing, or of no architecture that transformers knows.
    """
    from transformers import AutoConfig

    with _loading(name):
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)


def load_extractor(name: str, folder: Path) -> Any:
    """Read ``preprocessor_config.json``: how a model wants its sounds.

    Raises:
        ConfigError: It is missing, or for something else than sounds.
    """
    import transformers

    kind: Any = transformers.AutoFeatureExtractor

    with _loading(name):
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
    with _loading(name):
        network, found = kind.from_pretrained(folder, config=config, output_loading_info=True)
    missing = sorted(key for key in found["missing_keys"] if not key.endswith(_UNUSED))
    if missing:
        raise ConfigError(
            f"model: the weights of {name!r} lack {len(missing)} tensors of the network (first: "
            f"{missing[0]}). They belong to another architecture than config.json says."
        )
    loaded: nn.Module = network.float()
    return loaded


@contextmanager
def _loading(name: str) -> Iterator[None]:
    """Keep transformers' bars and remarks off the screen; turn its errors into ours."""
    from transformers import utils

    logging: Any = utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise ConfigError(
            f"model: {name!r} could not be loaded: {error} (code that comes with a model is never "
            "run; a directory must hold config.json, model.safetensors and "
            "preprocessor_config.json)."
        ) from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
