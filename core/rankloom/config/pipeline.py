"""The whole pipeline file."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from rankloom.config.base import Name, Section, as_dict
from rankloom.config.models import ModelConfig
from rankloom.config.refs import GuardRef, PolicyRef, RetrieverRef, ScorerRef
from rankloom.config.sections import DataConfig, EvaluationConfig

__all__ = ["PipelineConfig"]


class PipelineConfig(Section):
    """Data, models, and what turns a query into a slate.

    A single model may be written ``model:``; it is then named ``model``.
    """

    name: str = Field(default="pipeline", pattern=r"^[^/\\.][^/\\]*$")
    """Name of the pipeline; run directories start with it."""
    seed: int = Field(default=0, ge=0)
    """Seed of everything random."""
    data: DataConfig = Field(default={})  # type: ignore[assignment]
    """Where data comes from and how it is divided."""
    models: dict[Name, ModelConfig] = Field(default_factory=dict)
    """Models that are trained by gradients, by name."""
    scorer: ScorerRef = Field(default="popularity")  # type: ignore[assignment]
    """Whose scores rank; default: the model's, or popularity where there is none."""
    retriever: RetrieverRef | None = None
    """What picks candidates out of the catalog; default: every allowed item is one."""
    guards: list[GuardRef] = Field(default=["seen"])  # type: ignore[list-item]
    """Rules over what may be shown."""
    policy: PolicyRef = Field(default="greedy")  # type: ignore[assignment]
    """What turns scored candidates into a slate."""
    fallback: ScorerRef = Field(default="popularity")  # type: ignore[assignment]
    """Who answers queries that the scorer cannot."""
    text_as: str | None = None
    """The item field that free text of a query stands for; default: the only text field."""
    evaluation: EvaluationConfig = Field(default={})  # type: ignore[assignment]
    """How the pipeline is judged."""
    trainer: dict[str, Any] = Field(default_factory=dict)
    """Passed on to ``lightning.Trainer``: accelerator, devices, precision, strategy."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        value = as_dict(value)
        if not isinstance(value, dict):
            return value
        if "model" in value:
            if value.get("models"):
                raise ValueError("give either 'model' or 'models', not both")
            value["models"] = {"model": value.pop("model")}
        if value.get("scorer") is None:
            value["scorer"] = "model" if value.get("models") else "popularity"
        return value
