"""Manifest: encoders of text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rankloom import ComponentSpec, EncoderConfig, component, hookimpl

__all__ = ["BertConfig", "ReuseConfig", "register_encoders"]


class BertConfig(EncoderConfig):
    """Text through a frozen model of BERT's architecture; each text is encoded once and cached."""

    type: Literal["bert"] = "bert"
    model: str
    """A directory (``save_pretrained`` or sentence-transformers), a hub name, or
    ``package:NAME/PATH`` (weights inside an installed package)."""
    pooling: Literal["mean", "cls", "max"] | None = None
    """Tokens to one vector; default: what a sentence-transformers directory says, else ``mean``."""
    normalize: bool | None = False
    """Scale vectors to length 1; null: as a sentence-transformers directory says."""
    max_length: int = Field(default=128, ge=3)
    """Tokens kept of each text, never more than the model can take."""
    tuning: Literal["frozen"] = "frozen"
    """Which weights train: none."""
    batch_size: int = Field(default=64, ge=1)
    """Texts encoded at once."""
    dim: int | None = Field(default=None, ge=1)
    """Width of a trained linear map of the frozen vectors; null: none (fusions bring their own)."""
    sha256: str | None = Field(default=None, pattern="^[0-9a-fA-F]{64}$")
    """Expected sha256 of ``model.safetensors``; other weights are refused."""


class ReuseConfig(EncoderConfig):
    """An encoder of the item tower, used again for a query field (zero-shot search by text)."""

    type: Literal["reuse"] = "reuse"
    encoder: str
    """Name of the item encoder."""
    field: str | None = "query.text"
    """The query field whose values it reads."""


@hookimpl
def register_encoders() -> list[ComponentSpec]:
    """Register the text encoders."""
    return [
        component(BertConfig, "rankloom_plugins.text.bert:BertEncoder", modality="text"),
        component(ReuseConfig, "rankloom_plugins.text.reuse:ReuseEncoder", reuses=True),
    ]
