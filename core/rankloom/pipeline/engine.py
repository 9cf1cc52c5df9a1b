"""From a batch of queries to slates: retrieve, score, decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from rankloom.pipeline.contracts import check_candidates, check_scores, check_slates
from rankloom.pipeline.handle import ModelHandle
from rankloom.protocols import (
    CandidateBatch,
    Context,
    QueryBatch,
    RaggedIndices,
    ScoredCandidates,
    Scores,
    Slates,
)

__all__ = ["Engine", "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """Slates and how they came about.

    Attributes:
        slates: What is shown.
        fallback: ``[q]`` bool: the pipeline's fallback scored the query.
        excluded: ``[q]`` items kept away from each query.
        scored: The candidates the policy saw.
    """

    slates: Slates
    fallback: Tensor
    excluded: Tensor
    scored: ScoredCandidates


class _Excluded(Mapping[str, Tensor]):
    """The reason ``excluded`` of a whole catalog, made when somebody asks for it."""

    def __init__(self, rows: RaggedIndices, width: int) -> None:
        self._rows, self._width = rows, width

    def __getitem__(self, reason: str) -> Tensor:
        if reason != "excluded":
            raise KeyError(reason)
        rows = self._rows
        seen = rows.values.new_zeros(len(rows), self._width, dtype=torch.bool)
        seen[rows.row_ids(), rows.values] = True
        return seen

    def __iter__(self) -> Iterator[str]:
        return iter(("excluded",))

    def __len__(self) -> int:
        return 1


@dataclass
class Engine:
    """The stages of one pipeline over contiguous indices.

    Attributes:
        scorer: Scores candidates.
        fallback: Serves queries for which ``scorer`` knows nothing.
        policy: Decides.
        guards: Asked before retrieval and slot by slot.
        retriever: None: every allowed item is a candidate.
        retriever_handle: The model whose vectors the retriever searches.
        retriever_k: Candidates it returns.
        available: ``[n_items]`` bool: withdrawn items are False.
        handles: Models by name, for policies that need vectors.
    """

    scorer: Any
    fallback: Any
    policy: Any
    guards: Sequence[Any]
    available: Tensor
    retriever: Any | None = None
    retriever_handle: ModelHandle | None = None
    retriever_k: int = 200
    handles: dict[str, ModelHandle] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Made here and not on demand: under inference mode it would be of no use to training.
        self._catalog = torch.arange(len(self.available), device=self.available.device)

    def exclusions(self, queries: QueryBatch) -> RaggedIndices | None:
        """Everything the guards keep away from each query."""
        parts = [rows for g in self.guards if (rows := g.exclude(queries)) is not None]
        return RaggedIndices.cat_rows(parts) if parts else None

    def candidates(
        self, queries: QueryBatch, exclude: RaggedIndices | None, allowed: Tensor | None
    ) -> CandidateBatch:
        """Retrieve, or offer the whole catalog less what is excluded."""
        if self.retriever is not None and self.retriever_handle is not None:
            encoded, _ = self.retriever_handle.encode(queries)
            found = check_candidates(
                self.retriever,
                self.retriever.retrieve(queries.with_encoded(encoded), self.retriever_k, exclude),
                len(queries),
            )
            ok = self.available if allowed is None else self.available & allowed
            return CandidateBatch(
                found.items,
                found.allowed(len(queries)) & ok[found.items.clamp(min=0)],
                reasons=found.reasons,
            )
        ok = self.available if allowed is None else self.available & allowed
        if exclude is None or not len(exclude.values):
            return CandidateBatch(self._catalog, ok.expand(len(queries), -1), whole=True)
        mask = ok.expand(len(queries), -1).clone()  # repeat() takes five times as long
        if len(queries) == 1:
            mask.index_fill_(1, exclude.values, False)
        else:
            mask[exclude.row_ids(), exclude.values] = False
        reasons = _Excluded(exclude, len(ok))
        return CandidateBatch(self._catalog, mask, reasons=reasons, whole=True)

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> tuple[Scores, Tensor]:
        """Score; queries about which nothing is known go to the fallback.

        Returns:
            The scores and ``[q]`` bool: the fallback answered.
        """
        scored, helpless = self._scored(queries, candidates)
        return scored.scores, helpless

    def _scored(
        self, queries: QueryBatch, candidates: CandidateBatch
    ) -> tuple[ScoredCandidates, Tensor]:
        """What the policy decides on, and ``[q]`` bool: the fallback answered."""
        q, n = len(queries), candidates.width
        scored = ScoredCandidates(
            queries,
            candidates,
            check_scores(self.scorer, self.scorer.score(queries, candidates), q, n),
            lambda name: self.context(queries, candidates, name),
        )
        helpless = scored.helpless()
        if any(helpless.tolist()):
            other = check_scores(self.fallback, self.fallback.score(queries, candidates), q, n)
            scored = replace(scored, scores=scored.scores.otherwise(other, helpless))
        return scored, helpless

    def context(self, queries: QueryBatch, candidates: CandidateBatch, name: str | None) -> Context:
        """Return vectors of a model for a policy.

        Raises:
            LookupError: No model of that name yields vectors.
        """
        handle = self.retriever_handle if name is None else self.handles.get(name)
        handle = handle or next(iter(self.handles.values()), None)
        if handle is None:
            raise LookupError("this pipeline has no model that yields vectors")
        encoded, _ = handle.encode(queries)
        items = candidates.expand(len(queries)).clamp(min=0)
        return Context(encoded.vectors, handle.table.vectors[items], handle.table.version)

    def run(
        self,
        queries: QueryBatch,
        k: int,
        generator: torch.Generator,
        *,
        exclude: RaggedIndices | None = None,
        also_exclude: RaggedIndices | None = None,
        allowed: Tensor | None = None,
        policy: Any | None = None,
        observe: bool = True,
    ) -> Outcome:
        """Answer ``q`` queries.

        Args:
            queries: The queries.
            k: Slots.
            generator: Every random choice takes it.
            exclude: Exclusions of a protocol; None asks the guards.
            also_exclude: Exclusions of the request, added to those.
            allowed: ``[n_items]`` bool: only these may be ranked.
            policy: Replaces the pipeline's policy (evaluation is greedy).
            observe: Tell the guards what was shown.
        """
        kept_away = self.exclusions(queries) if exclude is None else exclude
        if also_exclude is not None:
            both = [rows for rows in (kept_away, also_exclude) if rows is not None]
            kept_away = RaggedIndices.cat_rows(both)
        candidates = self.candidates(queries, kept_away, allowed)
        scored, helpless = self._scored(queries, candidates)
        chosen = policy or self.policy
        slates = chosen.decide(scored, k, self.guards, generator)
        slates = check_slates(chosen, slates, len(queries), k)
        if observe:
            for guard in self.guards:
                guard.observe(slates)
        counts = queries.users.new_zeros(len(queries)) if kept_away is None else kept_away.lengths
        return Outcome(slates, helpless, counts, scored)
