"""The Python API: fit, evaluate, recommend, save, load."""

from __future__ import annotations

from rankloom.api.pipeline import Pipeline
from rankloom.api.query import Query
from rankloom.api.slate import Slate

__all__ = ["Pipeline", "Query", "Slate"]
