"""The pipeline file: typed, strict, and checked without importing torch."""

from __future__ import annotations

from rankloom.config.loader import dump, expand, load_config
from rankloom.config.models import (
    ModelConfig,
    PseudoLabelsConfig,
    TaskConfig,
    TowerConfig,
    TrainingConfig,
)
from rankloom.config.pipeline import PipelineConfig
from rankloom.config.refs import (
    EncoderRef,
    FusionRef,
    GuardRef,
    MetricRef,
    ObjectiveRef,
    PolicyRef,
    RetrieverRef,
    SamplerRef,
    ScorerRef,
    SourceRef,
    SplitRef,
)
from rankloom.config.schema import json_schema
from rankloom.config.sections import DataConfig, EvaluationConfig, PositiveConfig

__all__ = [
    "DataConfig",
    "EncoderRef",
    "EvaluationConfig",
    "FusionRef",
    "GuardRef",
    "MetricRef",
    "ModelConfig",
    "ObjectiveRef",
    "PipelineConfig",
    "PolicyRef",
    "PositiveConfig",
    "PseudoLabelsConfig",
    "RetrieverRef",
    "SamplerRef",
    "ScorerRef",
    "SourceRef",
    "SplitRef",
    "TaskConfig",
    "TowerConfig",
    "TrainingConfig",
    "dump",
    "expand",
    "json_schema",
    "load_config",
]
