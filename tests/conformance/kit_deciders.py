"""Retrievers, guards and policies without a fault, and others with exactly one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from rankloom.nn.slates import fill_slots, gumbel, rate_slots
from rankloom.protocols import (
    Build,
    CandidateBatch,
    Guard,
    GuardBase,
    QueryBatch,
    RaggedIndices,
    ScoredCandidates,
    Slates,
)


class Search:
    """Exact search."""

    def __init__(self, config: object, build: Build) -> None:
        self.table = torch.empty(0)

    def refresh(self, table: Tensor, rows: Tensor | None) -> None:
        self.table = table

    def retrieve(
        self, queries: QueryBatch, k: int, exclude: RaggedIndices | None
    ) -> CandidateBatch:
        assert queries.encoded is not None
        scores = self.without(queries.encoded.vectors @ self.table.T, k, exclude)
        best = scores.topk(min(k, scores.shape[1]))
        return self.packed(best.indices, best.values > -torch.inf)

    def without(self, scores: Tensor, k: int, exclude: RaggedIndices | None) -> Tensor:
        if exclude is None:
            return scores
        at = (exclude.row_ids(), exclude.values)
        return scores.index_put(at, torch.tensor(-torch.inf))

    def packed(self, items: Tensor, real: Tensor) -> CandidateBatch:
        return CandidateBatch(items.where(real, -1), real)


class WorstFirst(Search):
    def packed(self, items: Tensor, real: Tensor) -> CandidateBatch:
        columns = torch.arange(items.shape[1])
        back = real.sum(1, keepdim=True) - 1 - columns
        items = items.gather(1, back.where(real, columns))
        return super().packed(items, real)


class ExcludesLate(Search):
    def without(self, scores: Tensor, k: int, exclude: RaggedIndices | None) -> Tensor:
        cut = scores.topk(min(k, scores.shape[1])).values[:, -1:]
        return super().without(scores, k, exclude).where(scores >= cut, -torch.inf)


class KeepsOld(Search):
    def refresh(self, table: Tensor, rows: Tensor | None) -> None:
        if rows is None:
            self.table = table


class PadsWithZero(Search):
    def packed(self, items: Tensor, real: Tensor) -> CandidateBatch:
        return CandidateBatch(items.where(real, 0), real)


class Rule(GuardBase):
    """Excludes what was seen and penalises what is in even columns of the catalog."""

    reason = "seen"

    def __init__(self, config: object, build: Build) -> None:
        pass

    def exclude(self, queries: QueryBatch) -> RaggedIndices | None:
        return queries.seen

    def penalty(self, scored: ScoredCandidates, prefix: Tensor) -> Tensor | None:
        return (scored.candidates.expand(len(scored.queries)) % 2).float()


class NoReason(Rule):
    reason = " "


class RowTooMany(Rule):
    def exclude(self, queries: QueryBatch) -> RaggedIndices | None:
        seen = queries.seen
        return RaggedIndices(seen.values, torch.cat([seen.offsets, seen.offsets[-1:]]))


class NotANumber(Rule):
    def penalty(self, scored: ScoredCandidates, prefix: Tensor) -> Tensor | None:
        return torch.full(scored.scores.values.shape, torch.nan)


class NeedsCandidates(Rule):
    def penalty(self, scored: ScoredCandidates, prefix: Tensor) -> Tensor | None:
        items = scored.candidates.expand(len(scored.queries)).float()
        return items / items.max(1, keepdim=True).values.clamp(min=1)


class NeedsFullSlates(Rule):
    def observe(self, slates: Slates) -> None:
        assert bool((slates.items >= 0).all()), "an empty slot"


class Softmax:
    """Plackett-Luce with exact probabilities."""

    def __init__(self, config: object, build: Build) -> None:
        pass

    def decide(
        self,
        scored: ScoredCandidates,
        k: int,
        guards: Sequence[Guard],
        generator: torch.Generator,
    ) -> Slates:
        def choose(support: Tensor) -> tuple[Tensor, Tensor]:
            columns = (self.law(support) + gumbel(support, generator)).argmax(1)
            return columns, _log_p(support, columns)

        return fill_slots(scored, k, self.heeded(guards), choose)

    def law(self, support: Tensor) -> Tensor:
        return support

    def heeded(self, guards: Sequence[Guard]) -> Sequence[Guard]:
        return guards

    def log_prob(
        self,
        scored: ScoredCandidates,
        slates: Slates,
        guards: Sequence[Guard],
        state: Mapping[str, Any] | None = None,
    ) -> Tensor:
        return rate_slots(scored, slates, self.heeded(guards), _log_p)

    def update(self, decisions: Any) -> None:
        return None


def _log_p(support: Tensor, columns: Tensor) -> Tensor:
    return support.log_softmax(1).gather(1, columns[:, None])[:, 0]


class OtherScores(Softmax):
    def decide(self, *args: Any, **kwargs: Any) -> Slates:
        slates = super().decide(*args, **kwargs)
        return replace(slates, scores=slates.scores + 1)


class ShowsUnknown(Softmax):
    def decide(self, scored: ScoredCandidates, *args: Any, **kwargs: Any) -> Slates:
        slates = super().decide(_known(scored), *args, **kwargs)
        shown = scored.candidates.expand(len(slates.items))[:, None] == slates.items[..., None]
        if not shown.shape[-1]:
            return slates
        scores = scored.scores.values.gather(1, shown.int().argmax(-1))
        return replace(slates, scores=scores.where(slates.items >= 0, torch.nan))

    def log_prob(self, scored: ScoredCandidates, *args: Any, **kwargs: Any) -> Tensor:
        return super().log_prob(_known(scored), *args, **kwargs)


def _known(scored: ScoredCandidates) -> ScoredCandidates:
    values = scored.scores.values.nan_to_num(0.0)
    return replace(scored, scores=replace(scored.scores, values=values))


class SaysLess(Softmax):
    def decide(self, *args: Any, **kwargs: Any) -> Slates:
        slates = super().decide(*args, **kwargs)
        return replace(slates, log_probs=slates.log_probs - 0.1 * (slates.items >= 0))


class SecondSlotTooLikely(Softmax):
    def decide(self, *args: Any, **kwargs: Any) -> Slates:
        slates = super().decide(*args, **kwargs)
        return replace(slates, log_probs=_halved(slates.log_probs))

    def log_prob(self, *args: Any, **kwargs: Any) -> Tensor:
        return _halved(super().log_prob(*args, **kwargs))


def _halved(log_probs: Tensor) -> Tensor:
    return torch.cat([log_probs[:, :1], log_probs[:, 1:] / 2], 1)


class DrawsEvenly(Softmax):
    def law(self, support: Tensor) -> Tensor:
        return support.clamp(min=0, max=0).where(support > -torch.inf, -torch.inf)


class _Tamed(GuardBase):
    """Another guard with its penalties changed."""

    def __init__(self, guard: Guard, largest: float, floor: float) -> None:
        self.guard, self.largest, self.floor = guard, largest, floor

    def penalty(self, scored: ScoredCandidates, prefix: Tensor) -> Tensor | None:
        penalty = self.guard.penalty(scored, prefix)
        if penalty is None:
            return None
        return penalty.clamp(max=self.largest).where(penalty.abs() >= self.floor, 0.0)


class Forgives(Softmax):
    def heeded(self, guards: Sequence[Guard]) -> Sequence[Guard]:
        return [_Tamed(guard, 50.0, -torch.inf) for guard in guards]


class OnlyForbids(Softmax):
    def heeded(self, guards: Sequence[Guard]) -> Sequence[Guard]:
        return [_Tamed(guard, torch.inf, torch.inf) for guard in guards]


class NeedsChoice(Softmax):
    def decide(self, scored: ScoredCandidates, *args: Any, **kwargs: Any) -> Slates:
        assert bool((scored.utilities() > -torch.inf).any()), "nothing to choose from"
        return super().decide(scored, *args, **kwargs)
