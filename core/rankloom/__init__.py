"""Rankloom: recommenders composed from plugins.

This package stays light: importing it loads neither torch nor transformers nor Lightning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rankloom.components import (
    AudioEncoderConfig,
    ComponentConfig,
    ComponentSpec,
    EncoderConfig,
    ImageEncoderConfig,
    MediaEncoderConfig,
    component,
)
from rankloom.errors import RankloomError
from rankloom.hookspecs import hookimpl

if TYPE_CHECKING:
    from rankloom.api import Pipeline, Query
    from rankloom.host import register

__version__ = "0.1.0"

__all__ = [
    "AudioEncoderConfig",
    "ComponentConfig",
    "ComponentSpec",
    "EncoderConfig",
    "ImageEncoderConfig",
    "MediaEncoderConfig",
    "Pipeline",
    "Query",
    "RankloomError",
    "__version__",
    "component",
    "hookimpl",
    "register",
]

_LAZY = {"Pipeline": "rankloom.api", "Query": "rankloom.api", "register": "rankloom.host"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'rankloom' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
