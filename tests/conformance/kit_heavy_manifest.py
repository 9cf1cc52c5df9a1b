"""A manifest that imports torch."""

from __future__ import annotations

from typing import Literal

import torch

from rankloom import ComponentConfig


class HeavyConfig(ComponentConfig):
    """Settings whose module loads torch."""

    type: Literal["plain"] = "plain"
    dtype: str = str(torch.float32)
    """A type."""
