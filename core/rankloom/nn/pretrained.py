"""Loading with transformers: quietly, and with errors that say what a directory must hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rankloom.errors import ConfigError

__all__ = ["loading"]


@contextmanager
def loading(name: str, beside: str) -> Iterator[None]:
    """Keep transformers' bars and remarks off the screen; turn its errors into ours.

    Args:
        name: What the config calls the model.
        beside: What a directory must hold beside ``config.json`` and ``model.safetensors``.

    Raises:
        ConfigError: What is done inside failed.
    """
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
            f"run; a directory must hold config.json, model.safetensors and {beside})."
        ) from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
