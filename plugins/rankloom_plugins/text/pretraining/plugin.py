"""Manifest: the command ``rankloom pretrain``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from rankloom import ComponentConfig, ComponentSpec, component, hookimpl

__all__ = ["PretrainConfig", "register_commands"]


class PretrainConfig(ComponentConfig):
    """Adapt a text model to the catalog's texts, and write it as a directory for an encoder.

    The texts are those of the items that ``cold_items`` leaves warm: a tenth chooses the epoch, a
    tenth is held out and judged before and after. Cold items are ranked before and after as well.
    """

    type: Literal["pretrain"] = "pretrain"
    """The component's registered name."""
    config: Path
    """Pipeline file whose ``data:`` says where the catalog is."""
    out: Path
    """Directory to write: an encoder's ``model``."""
    model: str | None = None
    """Model to go on from: a directory, a hub name, or package:NAME/PATH; without it a small GPT-2
    starts from nothing, with a tokeniser trained on the catalog."""
    objective: Literal["mlm", "clm", "contrastive", "factors"] | None = None
    """masked words, next words, two dropout views of a text, or collaborative factors of the items;
    default: mlm, or clm for a model of GPT-2's architecture."""
    field: str | None = None
    """Item field with the texts; default: the only one of type text."""
    texts: Literal["warm", "all"] = "warm"
    """all: cold items' texts too, for a model to put to work; their ranking is then not judged."""
    target: str = "ease"
    """The scorer that cold items' scores are learned from, and whose factors are the target."""
    factors: int = Field(default=64, ge=1)
    """How many factors (objective factors)."""
    tuning: Literal["full", "lora"] = "full"
    """Which weights train; lora: low-rank additions, merged at the end (extra lora)."""
    lora_rank: int = Field(default=8, ge=1)
    """Rank of these additions."""
    lora_targets: list[str] = Field(default_factory=list)
    """Names of the modules that get them, or all: every linear one; default: peft's choice for the
    architecture (BERT's queries and values)."""
    epochs: int = Field(default=20, ge=1)
    """At most so many passes over the texts."""
    patience: int = Field(default=3, ge=1)
    """Stop after so many epochs without improvement."""
    batch_size: int = Field(default=32, ge=2)
    """Texts of a step."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Step size; default: 5e-5, for lora and from nothing 1e-3."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay."""
    max_length: int = Field(default=128, ge=4)
    """Tokens kept of each text."""
    temperature: float = Field(default=0.05, gt=0)
    """Of the contrast between texts (objective contrastive)."""
    layers: int = Field(default=4, ge=1)
    """Layers of a model from nothing."""
    width: int = Field(default=256, ge=8)
    """Its width."""
    heads: int = Field(default=4, ge=1)
    """Its attention heads."""
    vocabulary: int = Field(default=4096, ge=300)
    """Tokens of its vocabulary, at most."""
    seed: int | None = Field(default=None, ge=0)
    """Of split, masks and dropout; default: the pipeline file's."""
    evaluate: bool = True
    """Rank cold items before and after."""
    fresh: bool = False
    """Start anew where the directory holds an earlier run's work."""
    trainer: dict[str, Any] = Field(default_factory=dict)
    """Lightning's Trainer options, as in a pipeline file."""
    as_json: bool = Field(default=False, alias="json")
    """Print the report as JSON."""

    @model_validator(mode="after")
    def _fits(self) -> PretrainConfig:
        if self.model is None and self.objective not in (None, "clm"):
            raise ValueError(
                f"objective {self.objective!r} goes on from a model: give --model, or leave the "
                "objective out for a GPT-2 from nothing"
            )
        if self.model is None and self.tuning == "lora":
            raise ValueError("lora adds to a model: give --model, or leave --tuning out")
        if self.lora_targets and self.tuning != "lora":
            raise ValueError("lora_targets say where low-rank additions go: add --tuning lora")
        if "all" in self.lora_targets and len(self.lora_targets) > 1:
            raise ValueError("lora_targets: 'all' stands alone; leave the other names out")
        if self.objective == "factors" and self.texts == "all":
            raise ValueError("cold items have no factors to learn: leave --texts out")
        if self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be a multiple of heads ({self.heads})")
        return self


@hookimpl
def register_commands() -> list[ComponentSpec]:
    """Register the command."""
    target = "rankloom_plugins.text.pretraining.command:Pretrain"
    return [component(PretrainConfig, target)]
