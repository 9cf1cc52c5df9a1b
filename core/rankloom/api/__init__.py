"""The Python API: fit, evaluate, recommend, save, load."""

from __future__ import annotations

from rankloom.api.fitting import FitLog
from rankloom.api.pipeline import Pipeline
from rankloom.api.query import Query
from rankloom.api.slate import Slate
from rankloom.api.stages import EvaluateContext, FitContext, RecommendContext

__all__ = [
    "EvaluateContext",
    "FitContext",
    "FitLog",
    "Pipeline",
    "Query",
    "RecommendContext",
    "Slate",
]
