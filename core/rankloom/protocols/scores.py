"""Scores, and candidates with their scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from rankloom.protocols.batches import CandidateBatch, QueryBatch

__all__ = ["Context", "Scale", "ScoredCandidates", "Scores"]

Scale = Literal["rank", "logit", "probability", "rating"]


@dataclass(frozen=True)
class Scores:
    """Scores of ``q`` queries for ``n`` candidates.

    Attributes:
        values: ``[q, n]``; NaN where the scorer cannot score the pair. Unknown is never zero.
        scale: What the numbers mean; only ``rating`` values are comparable with data values.
        std: ``[q, n]`` predictive standard deviation, or None.
        sample: Draws one ``[q, n]`` sample of the scores with the given generator, or None.
    """

    values: Tensor
    scale: Scale = "rank"
    std: Tensor | None = None
    sample: Callable[[torch.Generator], Tensor] | None = None

    def masked(self, known: Tensor) -> Scores:
        """Return the scores with NaN, in values, spread and samples, where ``known`` is False.

        Args:
            known: Bool, broadcastable to ``[q, n]``.
        """
        return self._mapped(lambda x: torch.where(known, x, torch.nan))

    def plus(self, marks: Tensor) -> Scores:
        """Return the scores with NaN where ``marks`` is NaN, and as they are where it is 0.

        The same as :meth:`masked`, for a mask that is asked again and again: to add costs a third
        of what it costs to choose.

        Args:
            marks: 0 or NaN, broadcastable to ``[q, n]``.
        """
        return self._mapped(lambda x: x + marks)

    def otherwise(self, other: Scores, rows: Tensor) -> Scores:
        """Return these scores with ``other``'s in the rows ``[q]`` bool where these say nothing.

        The spread and the samples of such a row are ``other``'s, its values without noise where it
        has none.
        """
        pick, values = rows[:, None], other.values.to(self.values)
        std, sample = None, None
        if self.std is not None:
            spread = torch.zeros_like(values) if other.std is None else other.std.to(self.std)
            std = torch.where(pick, spread, self.std)
        if self.sample is not None:
            own, theirs = self.sample, other.sample

            def sample(generator: torch.Generator) -> Tensor:
                drawn = own(generator)
                instead = values if theirs is None else theirs(generator).to(drawn)
                return torch.where(pick, instead, drawn)

        return Scores(torch.where(pick, values, self.values), self.scale, std, sample)

    def to(self, device: torch.device | str) -> Scores:
        """Return the scores on ``device``; samples are drawn where they were and moved."""
        return (
            self
            if self.values.device == torch.device(device)
            else self._mapped(lambda x: x.to(device))
        )

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> Scores:
        draw = self.sample
        return Scores(
            change(self.values),
            self.scale,
            None if self.std is None else change(self.std),
            None if draw is None else lambda generator: change(draw(generator)),
        )


@dataclass(frozen=True)
class Context:
    """Vectors of one model for policies that learn in its space.

    Attributes:
        queries: ``[q, d]``.
        items: ``[q, n, d]``.
        version: Version of the item table the vectors come from.
    """

    queries: Tensor
    items: Tensor
    version: int


@dataclass(frozen=True)
class ScoredCandidates:
    """What a policy decides on.

    Attributes:
        queries: The queries.
        candidates: Candidates with mask and reasons.
        scores: Their scores.
        contexts: Returns a model's vectors (None: the retriever's model), set by core.
    """

    queries: QueryBatch
    candidates: CandidateBatch
    scores: Scores
    contexts: Callable[[str | None], Context] | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    def context(self, model: str | None = None) -> Context:
        """Return query and item vectors of ``model`` (default: the retriever's).

        Raises:
            LookupError: The pipeline has no model with vectors.
        """
        if self.contexts is None:
            raise LookupError("this pipeline has no model that yields vectors")
        return self.contexts(model)

    @cached_property
    def _utilities(self) -> Tensor:
        allowed = self.candidates.allowed(self.scores.values.shape[0])
        values = torch.where(allowed, self.scores.values, -torch.inf)
        return values.nan_to_num_(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)

    def utilities(self) -> Tensor:
        """``[q, n]`` scores with -inf at everything masked or unknown; to be read only."""
        return self._utilities

    def helpless(self) -> Tensor:
        """``[q]`` bool: nothing that is allowed has a score."""
        if not self.candidates.width:
            return torch.ones(len(self.queries), dtype=torch.bool, device=self.scores.values.device)
        return self._utilities.amax(1) == -torch.inf
