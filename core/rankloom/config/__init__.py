"""The pipeline file: typed, strict, and checked without importing torch."""

from __future__ import annotations

from rankloom.config.loader import dump, expand, load_config
from rankloom.config.models import ModelConfig, TaskConfig, TowerConfig, TrainingConfig
from rankloom.config.pipeline import PipelineConfig
from rankloom.config.schema import json_schema
from rankloom.config.sections import DataConfig, EvaluationConfig, PositiveConfig

__all__ = [
    "DataConfig",
    "EvaluationConfig",
    "ModelConfig",
    "PipelineConfig",
    "PositiveConfig",
    "TaskConfig",
    "TowerConfig",
    "TrainingConfig",
    "dump",
    "expand",
    "json_schema",
    "load_config",
]
