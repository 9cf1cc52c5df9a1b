"""The section ``models:`` of a pipeline file: towers, scorer, tasks and training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from rankloom.components import ComponentConfig
from rankloom.config.base import Name, Section, as_dict
from rankloom.config.refs import (
    EncoderRef,
    FusionRef,
    ObjectiveRef,
    SamplerRef,
    ScorerRef,
    registry_of,
)
from rankloom.errors import did_you_mean

__all__ = [
    "RATING_ERRORS",
    "ModelConfig",
    "PseudoLabelsConfig",
    "TaskConfig",
    "TowerConfig",
    "TrainingConfig",
]


#: Measures of predicted ratings that training may watch, beside every metric that is installed.
RATING_ERRORS = ("rmse", "mae")


class TowerConfig(Section):
    """The encoders of one side and what joins them."""

    encoders: dict[Name, EncoderRef] = Field(min_length=1)
    """Encoders by name; an encoder reads the field of its own name unless it says otherwise."""
    fusion: FusionRef | None = None
    """What joins several encodings; default: none for one encoder, else ``concat``."""

    @model_validator(mode="before")
    @classmethod
    def _default_fusion(cls, value: Any) -> Any:
        value = as_dict(value)
        if isinstance(value, dict) and value.get("fusion") is None:
            encoders = value.get("encoders")
            several = isinstance(encoders, dict) and len(encoders) > 1
            value["fusion"] = "concat" if several else None
        return value


class QueryTowerConfig(TowerConfig):
    """The encoders of queries and what joins them."""

    encoders: dict[Name, EncoderRef] = Field(default_factory=dict)
    """Encoders by name; an encoder reads the field of its own name unless it says otherwise."""


class TaskConfig(Section):
    """What a model learns: an objective with its weight and sampler.

    Short forms: ``softmax``, or ``{type: softmax, weight: 0.5, temperature: 0.1}``, where keys of
    the task are told from keys of the objective.
    """

    name: Name = ""
    """Name of the task; default: the objective's type."""
    objective: ObjectiveRef
    """The loss."""
    weight: float = Field(default=1.0, ge=0)
    """Weight of the loss in the sum over tasks."""
    sampler: SamplerRef | None = None
    """Where negatives come from, for objectives that sample them; default: uniformly from the
    training universe."""
    negatives: int = Field(default=128, ge=1)
    """How many negatives are drawn."""
    scorer: ScorerRef | None = None
    """A scorer of its own over the shared towers; default: the model's."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str | ComponentConfig):
            value = {"objective": value}
        value = as_dict(value)
        if isinstance(value, dict):
            if "type" in value and "objective" not in value:
                theirs = _objective_fields(value["type"], info)
                own = {key for key in value if _is_task_key(key, cls.model_fields, theirs)}
                rest = {key: value[key] for key in value if key not in own}
                value = {**{key: value[key] for key in own}, "objective": rest}
            if not value.get("name"):
                value["name"] = _type_of(value.get("objective"))
        return value


def _objective_fields(name: Any, info: ValidationInfo) -> list[str]:
    specs = registry_of(info).specs("objective")
    return [key for spec in specs if spec.name == name for key in spec.config.model_fields]


def _is_task_key(key: str, own: Iterable[str], theirs: list[str]) -> bool:
    """Whether a key of the short form is the task's; a misspelt one goes where it is nearest."""
    if key in own or key in theirs:
        return key in own
    return bool(did_you_mean(str(key), own)) and not did_you_mean(str(key), theirs)


def _type_of(objective: Any) -> str:
    if isinstance(objective, ComponentConfig):
        return objective.type
    name = objective.get("type") if isinstance(objective, dict) else objective
    # Whatever else is wrong with the objective is reported there.
    return name.replace(".", "_") if isinstance(name, str) and name else "task"


class PseudoLabelsConfig(Section):
    """Self-training: a model is trained, and once more with what it is then sure of."""

    confidence: float = Field(default=0.3, gt=0, lt=1)
    """A pair becomes a label where, among validation pairs with such a score or a higher one, this
    share were positives."""
    most: int = Field(default=10, ge=1)
    """Labels of a user, at most."""
    items: Literal["known", "catalog"] = "known"
    """Label items with training positives alone, or those that nobody has touched too."""


class TrainingConfig(Section):
    """How a model is trained by gradients."""

    learning_rate: float = Field(default=1e-3, gt=0)
    """Step size of the optimiser."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay."""
    batch_size: int = Field(default=128, ge=1)
    """Queries in a step: sequences for causal history encoders, else interactions."""
    epochs: int = Field(default=30, ge=1)
    """At most this many passes over the training data."""
    patience: int = Field(default=5, ge=1)
    """Stop after this many evaluations without improvement."""
    monitor: str = Field(default="ndcg@10", pattern=r"^[A-Za-z_][\w.-]*(@[1-9]\d*)?$")
    """The measure that picks the best epoch on validation: a metric (``ndcg@10``), ``rmse`` or
    ``mae``."""
    gradient_clip: float | None = Field(default=None, gt=0)
    """Largest norm of the gradient; default: no limit."""
    evaluate_every: int = Field(default=1, ge=1)
    """Epochs between evaluations."""
    compile: bool | Literal["auto"] = False
    """Run the trained parts through torch.compile; ``auto``: where it gains, on a GPU. The first
    steps take longer by a minute or so."""
    pseudo_labels: PseudoLabelsConfig | None = None
    """Train once more with what the trained model is sure of as further positives; the model is
    then trained on pairs of query and item, causal or not. Null: do not."""


class ModelConfig(Section):
    """What is trained together: item tower, query tower, scorer and tasks."""

    items: TowerConfig
    """The item tower."""
    queries: QueryTowerConfig = QueryTowerConfig()
    """The query tower; may be left out where nothing is trained: a query is then its free text
    alone, and other scorers read the item encoders."""
    scorer: ScorerRef = Field(default="dot")  # type: ignore[assignment]
    """What compares a query with an item."""
    tasks: list[TaskConfig] = Field(default_factory=list)
    """What it learns; none: it is used as it is (zero-shot search)."""
    training: TrainingConfig = TrainingConfig()
    """How it is trained."""

    @model_validator(mode="after")
    def _tasks_need_queries(self) -> ModelConfig:
        if self.tasks and not self.queries.encoders:
            raise ValueError("a model with tasks needs 'queries: {encoders: ...}'")
        return self

    @field_validator("tasks")
    @classmethod
    def _unique_names(cls, tasks: list[TaskConfig]) -> list[TaskConfig]:
        twice = [name for name, n in Counter(task.name for task in tasks).items() if n > 1]
        if twice:
            raise ValueError(f"several tasks are named {twice[0]!r}; give each a 'name'")
        return tasks
