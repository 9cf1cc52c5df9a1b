"""Warm and cold targets apart, the few-shot curve of items and the fold-in curve of users."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from rankloom.data.dataset import Phase
from rankloom.evaluation.curves import Curve, Slice, curve_of, slice_of
from rankloom.evaluation.ranking import RankingResult
from rankloom.evaluation.slices import (
    by_item_count,
    cut_histories,
    fitted_positives,
    of_kind,
    ranked_targets,
)

if TYPE_CHECKING:
    from rankloom.api.evaluating import Judge

__all__ = ["Apart", "judge_apart"]

Told = Callable[[str, int, int], None] | None

#: Without being asked, warm and cold targets are judged apart where each are at least this share:
#: it takes as long again as the table.
SHARE = 0.05

FEW_SHOT = (
    "n counts the positives of the target's item among the rows fitted on, each row up to below "
    "the next; all candidates are ranked, less the user's targets of other rows."
)
FOLD_IN = (
    "each history is cut to its first n positives; users, targets, candidates and exclusions are "
    "the same for every n."
)


@dataclass
class Apart:
    """What was judged beside the table.

    Attributes:
        slices: Warm and cold targets.
        curves: Few-shot and fold-in, by method.
        warnings: What was asked for and could not be judged, and what a reader must know.
    """

    slices: list[Slice] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def judge_apart(judge: Judge, phase_name: str, rows: Mapping[str, Any], tell: Told) -> Apart:
    """Judge what ``evaluation.slices``, ``item_counts`` and ``fold_in`` ask for.

    Every part is a phase of its own, evaluated as the whole is. Nothing is evaluated where nothing
    is asked for, and the targets hold warm or cold items alone.

    Args:
        judge: Evaluates phases.
        phase_name: ``test`` or ``validation``.
        rows: Scorers by method.
        tell: Told (what, queries done, of).
    """
    found = Apart()
    _slices(judge, phase_name, rows, tell, found)
    _item_counts(judge, phase_name, rows, tell, found)
    _fold_in(judge, phase_name, rows, tell, found)
    return found


def _fitted(judge: Judge) -> Tensor:
    """Rows that what is judged now was fitted on: a refit, where the split has one, came last."""
    split = judge.split
    return split.train if split.refit is None else split.refit


def _slices(
    judge: Judge, phase_name: str, rows: Mapping[str, Any], tell: Told, found: Apart
) -> None:
    evaluation, dataset, phase = judge.config.evaluation, judge.dataset, judge.phase(phase_name)
    if evaluation.slices == []:
        return
    warm = fitted_positives(dataset, _fitted(judge)) > 0
    of_target = warm[dataset.interactions.items[ranked_targets(dataset, phase)]]
    there = {"warm": bool(of_target.any()), "cold": bool((~of_target).any())}
    wanted = evaluation.slices
    if wanted is None:
        share = float(of_target.float().mean()) if len(of_target) else 0.0
        wanted = ["warm", "cold"] if SHARE <= share <= 1 - SHARE else []
    for kind in wanted:
        if not there[kind]:
            found.warnings.append(f"No target is a {kind} item, so there is no slice {kind!r}.")
            continue
        part = of_kind(dataset, phase, warm if kind == "warm" else ~warm)
        results = _judged(judge, rows, part, kind, tell)
        n = int(part.candidates.sum())
        rule = f"{kind} targets, among the {n:,} {kind} candidates alone, less what is excluded."
        one = slice_of(kind, rule, results, evaluation.resamples, judge.config.seed)
        found.slices.append(one)


def _item_counts(
    judge: Judge, phase_name: str, rows: Mapping[str, Any], tell: Told, found: Apart
) -> None:
    numbers = judge.config.evaluation.item_counts
    if not numbers:
        return
    counts = fitted_positives(judge.dataset, _fitted(judge))
    phases = by_item_count(judge.dataset, judge.phase(phase_name), counts, numbers)
    parts = dict(zip(numbers, phases, strict=True))
    found.curves += _curves(judge, rows, parts, "item_counts", FEW_SHOT, tell)
    missing = [str(n) for n, part in parts.items() if not len(part.targets)]
    if missing:
        found.warnings.append(
            f"item_counts: no target's item has n = {', '.join(missing)} positives at the fit."
        )


def _fold_in(
    judge: Judge, phase_name: str, rows: Mapping[str, Any], tell: Told, found: Apart
) -> None:
    numbers = judge.config.evaluation.fold_in
    if not numbers:
        return
    dataset = judge.dataset
    phases = cut_histories(dataset, judge.phase(phase_name), numbers)
    users = dataset.interactions.users
    judged = torch.unique(users[phases[0].targets])
    if not len(judged):
        found.warnings.append(
            f"fold_in: no user with a target has a history of {numbers[-1]} positives, so there is "
            f"no fold-in curve. Lower the largest n, or raise the split's support."
        )
        return
    known = int(torch.isin(judged, users[_fitted(judge)]).sum())
    if known:
        found.warnings.append(
            f"fold_in: {known} of {len(judged)} users were in the training, so that what was "
            f"learned knows more than n of their positives. The split 'fold_in' holds users out."
        )
    parts = dict(zip(numbers, phases, strict=True))
    found.curves += _curves(judge, rows, parts, "fold_in", FOLD_IN, tell)


def _curves(
    judge: Judge,
    rows: Mapping[str, Any],
    parts: Mapping[int, Phase],
    kind: Literal["item_counts", "fold_in"],
    rule: str,
    tell: Told,
) -> list[Curve]:
    by_number = {
        n: _judged(judge, rows, part, f"{kind} n = {n}", tell) for n, part in parts.items()
    }
    resamples, seed = judge.config.evaluation.resamples, judge.config.seed
    return [
        curve_of(
            name,
            kind,
            rule,
            {n: results[name] for n, results in by_number.items()},
            judge.headline,
            resamples,
            seed,
        )
        for name in rows
    ]


def _judged(
    judge: Judge, rows: Mapping[str, Any], phase: Phase, what: str, tell: Told
) -> dict[str, RankingResult]:
    """Judge every method on one phase, whose rows are sorted once for all of them."""
    queries = judge.queries(phase)
    found = {}
    for name, scorer in rows.items():
        told = None if tell is None else _renamed(tell, f"{name} ({what})")
        found[name] = judge.rank(scorer, phase, told, queries)
    return found


def _renamed(tell: Callable[[str, int, int], None], name: str) -> Callable[[int, int], None]:
    return lambda done, total: tell(name, done, total)
