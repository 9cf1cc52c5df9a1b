"""Manifest: encoders of text."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from rankloom import ComponentSpec, EncoderConfig, component, hookimpl
from rankloom.errors import did_you_mean

__all__ = [
    "BertConfig",
    "Bm25Config",
    "Compression",
    "Gpt2Config",
    "LastLayers",
    "Lora",
    "ReuseConfig",
    "TextModelConfig",
    "TfidfConfig",
    "register_encoders",
]


class LastLayers(BaseModel):
    """Tune the last layers alone."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    last_layers: int = Field(ge=1)
    """How many layers, counted from the output, are trained."""


class Lora(BaseModel):
    """Tune low-rank additions to some matrices (Hu et al., 2022), through peft."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    rank: int = Field(default=8, ge=1)
    """Rank of the additions."""
    alpha: float = Field(default=16.0, gt=0)
    """The additions are scaled by ``alpha / rank``."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout before them."""
    targets: list[str] | Literal["all"] | None = None
    """Names of the modules that get them; all: every linear one; null: peft's choice for the
    architecture (BERT's queries and values)."""


class LoraTuning(BaseModel):
    """LoRA with settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    lora: Lora
    """Its settings."""


_TUNINGS = ("frozen", "full", "lora", "last_layers")


def _tuning(value: Any) -> Any:
    """Take short forms, and say in one sentence what else is wrong."""
    name = next(iter(value), None) if isinstance(value, dict) and len(value) == 1 else value
    if isinstance(value, LastLayers | LoraTuning):
        return value
    if not isinstance(name, str) or name not in _TUNINGS or value == "last_layers":
        hint = did_you_mean(name, _TUNINGS) if isinstance(name, str) else ""
        raise ValueError(
            f"'frozen', 'full', 'lora', {{lora: {{rank: 8}}}} or {{last_layers: 2}}, not {value!r}."
            f"{hint}"
        )
    if isinstance(value, dict):
        kind = LastLayers if name == "last_layers" else LoraTuning
        return kind.model_validate(value)
    return LoraTuning(lora=Lora()) if value == "lora" else value


Tuning = Annotated[Literal["frozen", "full"] | LastLayers | LoraTuning, BeforeValidator(_tuning)]


class Compression(BaseModel):
    """A smaller, faster encoder, for a little accuracy."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    weights: Literal["int8"] | None = None
    """``int8``: matrices in 8 bits a weight, by ONNX Runtime, on the CPU (extra ``onnx``)."""
    dim: int | None = Field(default=None, ge=1)
    """Shorter vectors; null: as wide as the model's."""
    method: Literal["truncate", "pca", "whiten"] = "pca"
    """How they get shorter: the first numbers alone, scaled to length 1; the main axes of the
    training items' vectors; or those with equal spread."""


class TextModelConfig(EncoderConfig):
    """Base of the settings of encoders that are language models."""

    model: str
    """A directory (``save_pretrained`` or sentence-transformers), a hub name, or
    ``package:NAME/PATH`` (weights inside an installed package)."""
    normalize: bool | None = False
    """Scale vectors to length 1; null: as a sentence-transformers directory says."""
    max_length: int = Field(default=128, ge=3)
    """Tokens kept of each text, never more than the model can take."""
    long_text: Literal["cut", "windows"] = "cut"
    """Longer texts: cut, or the mean over windows of ``max_length`` tokens."""
    max_windows: int = Field(default=8, ge=1)
    """Most windows of a text; what comes after them is cut."""
    tokens: int = Field(default=0, ge=0, le=512)
    """Keep the states of so many tokens beside the vector, for fusions and scorers that read tokens
    (``{type: attention, over: tokens}``); a frozen model's are cached with it."""
    tuning: Tuning = "frozen"
    """Which weights train: ``frozen`` (none; each text is encoded once and cached), ``{last_layers:
    n}``, ``lora`` or ``{lora: {rank: 8, ...}}`` (extra ``lora``), ``full``. What trains needs an
    objective with sampled negatives: every step encodes the texts of its items."""
    compress: Compression | None = None
    """Smaller and faster, for a little accuracy; frozen models alone."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What a frozen model computes in; ``auto``: bfloat16 where the device gains by it."""
    batch_size: int = Field(default=64, ge=1)
    """Texts encoded at once."""
    dim: int | None = Field(default=None, ge=1)
    """Width of a trained linear map of the vectors; null: none (fusions bring their own)."""
    sha256: str | None = Field(default=None, pattern="^[0-9a-fA-F]{64}$")
    """Expected sha256 of ``model.safetensors``; other weights are refused."""

    @model_validator(mode="after")
    def _one_or_the_other(self) -> TextModelConfig:
        if self.compress is not None and self.tuning != "frozen":
            raise ValueError("'compress' is for frozen models: leave it or 'tuning' out")
        if self.tokens and self.compress is not None and self.compress.dim is not None:
            raise ValueError("tokens are as wide as the model's: leave 'tokens' or 'dim' out")
        return self


class BertConfig(TextModelConfig):
    """Text through a model of BERT's architecture, frozen, adapted by LoRA, or tuned."""

    type: Literal["bert"] = "bert"
    pooling: Literal["mean", "cls", "max"] | None = None
    """Tokens to one vector; default: what a sentence-transformers directory says, else ``mean``."""


class Gpt2Config(TextModelConfig):
    """Text through a model of GPT-2's architecture, frozen, adapted by LoRA, or tuned."""

    type: Literal["gpt2"] = "gpt2"
    pooling: Literal["last", "mean"] = "mean"
    """Tokens to one vector: the last real token's, which has seen all others, or the mean."""


class TfidfConfig(EncoderConfig):
    """Words weighted by how rare they are in training texts; a control without a language model."""

    type: Literal["tfidf"] = "tfidf"
    terms: int = Field(default=2048, ge=1)
    """Largest vocabulary: the most frequent terms of training texts. Width of the vectors."""
    min_count: int = Field(default=2, ge=1)
    """Terms of fewer training texts are left out."""
    pairs: bool = False
    """Pairs of neighbouring words are terms too."""
    dim: int | None = Field(default=None, ge=1)
    """Width after latent semantic analysis of the training texts; null: one number a term."""
    max_chars: int = Field(default=100_000, ge=1)
    """Characters read of each text."""


class Bm25Config(EncoderConfig):
    """BM25 weights of words; with ``reuse`` for the query and ``dot``, classical text search."""

    type: Literal["bm25"] = "bm25"
    terms: int = Field(default=8192, ge=1)
    """Largest vocabulary: the most frequent terms of training texts. Width of the vectors."""
    min_count: int = Field(default=1, ge=1)
    """Terms of fewer training texts are left out."""
    k1: float = Field(default=1.2, ge=0)
    """How soon a repeated term stops counting."""
    b: float = Field(default=0.75, ge=0, le=1)
    """How much long texts are discounted."""
    max_chars: int = Field(default=100_000, ge=1)
    """Characters read of each text."""


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
    family = "rankloom_plugins.text"
    return [
        component(BertConfig, f"{family}.bert:BertEncoder", modality="text"),
        component(Gpt2Config, f"{family}.gpt2:Gpt2Encoder", modality="text"),
        component(TfidfConfig, f"{family}.tfidf:TfidfEncoder"),
        component(Bm25Config, f"{family}.bm25:Bm25Encoder"),
        component(ReuseConfig, f"{family}.reuse:ReuseEncoder", reuses=True),
    ]
