"""GPT-2 (Radford et al., 2019) and models of its architecture."""

from __future__ import annotations

from rankloom.protocols import Build
from rankloom_plugins.text.encoder import TextEncoder
from rankloom_plugins.text.plugin import Gpt2Config

__all__ = ["Gpt2Encoder"]


class Gpt2Encoder(TextEncoder):
    """A causal model: a token sees itself and those before it.

    Texts are padded on the right, so that positions count from 0 whatever a batch holds, and
    padding is masked. GPT-2 has no padding token of its own; the end-of-text token stands in.
    """

    def __init__(self, config: Gpt2Config, build: Build) -> None:
        super().__init__(config, build, config.pooling)
