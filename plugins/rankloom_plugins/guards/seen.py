"""Nothing twice."""

from __future__ import annotations

from rankloom.protocols import Build, GuardBase, QueryBatch, RaggedIndices
from rankloom_plugins.guards.plugin import SeenConfig

__all__ = ["SeenGuard"]


class SeenGuard(GuardBase):
    """Excludes every item the user has interacted with, positive or not, before retrieval."""

    reason = "already seen"

    def __init__(self, config: SeenConfig, build: Build) -> None:
        self.config = config

    def exclude(self, queries: QueryBatch) -> RaggedIndices | None:
        """Return the seen items of each query."""
        return queries.seen
