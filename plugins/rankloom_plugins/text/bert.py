"""BERT (Devlin et al., 2019) and its descendants."""

from __future__ import annotations

from rankloom.protocols import Build
from rankloom_plugins.text.encoder import TextEncoder
from rankloom_plugins.text.plugin import BertConfig

__all__ = ["BertEncoder"]


class BertEncoder(TextEncoder):
    """A bidirectional model; see :class:`TextEncoder`."""

    def __init__(self, config: BertConfig, build: Build) -> None:
        super().__init__(config, build, config.pooling)
