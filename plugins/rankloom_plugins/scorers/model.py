"""The scores of a model of the pipeline, as a scorer like any other."""

from __future__ import annotations

from rankloom.errors import ConfigError
from rankloom.protocols import Build, CandidateBatch, QueryBatch, Scorer, Scores
from rankloom_plugins.scorers.plugin import ModelConfig

__all__ = ["ModelScorer"]


class ModelScorer:
    """Delegates to a model, which encodes queries and candidates itself.

    Raises:
        ConfigError: Built outside a pipeline, where there are no models to name.
    """

    def __init__(self, config: ModelConfig, build: Build) -> None:
        if build.model is None:
            named = f" {config.name!r}" if config.name else ""
            raise ConfigError(
                f"The scorer 'model' refers to the model{named}, but the pipeline has no models. "
                f"Add one under 'models:', or choose another scorer (ease, markov, popularity)."
            )
        self.target: Scorer = build.model(config.name, config.task)

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        """Return the model's scores ``[q, n]``."""
        return self.target.score(queries, candidates)
