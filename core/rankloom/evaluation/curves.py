"""What an evaluation found apart: slices of the targets, and curves over a number n."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from rankloom.evaluation.intervals import (
    Comparison,
    Interval,
    bootstrap_mean,
    paired_difference,
)
from rankloom.evaluation.ranking import RankingResult

__all__ = [
    "Curve", "CurvePoint", "Slice", "SliceRow", "curve_of", "intervals", "read_curve", "read_slice",
    "slice_of",
]  # fmt: skip

Metrics = Mapping[str, Interval]


@dataclass(frozen=True)
class SliceRow:
    """One method on one slice.

    Attributes:
        name: The method.
        n: Queries judged: users with a target in the slice.
        metrics: Mean and 95 % interval by metric.
    """

    name: str
    n: int
    metrics: Metrics


@dataclass(frozen=True)
class Slice:
    """Targets of one kind, among candidates of that kind alone.

    Attributes:
        name: ``warm`` or ``cold``.
        rule: What is ranked and judged, in a sentence.
        rows: One a method.
        results: By method, values query by query; not kept in JSON.
    """

    name: str
    rule: str
    rows: list[SliceRow]
    results: Mapping[str, RankingResult] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class CurvePoint:
    """One point of a curve.

    Attributes:
        n: The number.
        label: The number, or the range from it to below the next (``2 to 4``, ``10 and more``).
        queries: Queries judged; 0 where no target falls here.
        metrics: Mean and 95 % interval by metric; empty without queries.
    """

    n: int
    label: str
    queries: int
    metrics: Metrics


@dataclass(frozen=True)
class Curve:
    """One method over a growing number n.

    Attributes:
        name: The method.
        kind: ``item_counts``: n training positives of the target's item. ``fold_in``: n known
            positives of the user.
        rule: What n is, and who is judged among what, in a sentence.
        points: In ascending order of n.
        steps: Paired differences of each point and the one before, on the same queries; only for
            ``fold_in``, since the points of ``item_counts`` judge different queries. A verdict
            "worse" is a significant decrease.
        results: By n, values query by query; not kept in JSON.
    """

    name: str
    kind: Literal["item_counts", "fold_in"]
    rule: str
    points: list[CurvePoint]
    steps: list[Comparison] = field(default_factory=list)
    results: Mapping[int, RankingResult] = field(default_factory=dict, compare=False)

    def means(self, metric: str) -> dict[int, float]:
        """Return a metric's mean by n, NaN without queries."""
        nothing = Interval(math.nan, math.nan, math.nan)
        return {point.n: point.metrics.get(metric, nothing).mean for point in self.points}


def slice_of(
    name: str, rule: str, results: Mapping[str, RankingResult], resamples: int, seed: int
) -> Slice:
    """Return a slice with the intervals of every method.

    Args:
        name: Of the slice.
        rule: See :class:`Slice`.
        results: By method.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    rows = [SliceRow(m, found.n, intervals(found, resamples, seed)) for m, found in results.items()]
    return Slice(name, rule, rows, results)


def curve_of(
    name: str,
    kind: Literal["item_counts", "fold_in"],
    rule: str,
    results: Mapping[int, RankingResult],
    headline: str,
    resamples: int,
    seed: int,
) -> Curve:
    """Return a curve with its intervals and, for ``fold_in``, the steps between neighbours.

    Args:
        name: The method.
        kind: See :class:`Curve`.
        rule: See :class:`Curve`.
        results: By n, ascending; of ``fold_in`` on the same queries.
        headline: The metric of the steps.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        DataError: The points of ``fold_in`` were judged on different numbers of queries.
    """
    labels = _labels(list(results)) if kind == "item_counts" else [str(n) for n in results]
    points = [
        CurvePoint(n, label, found.n, intervals(found, resamples, seed))
        for label, (n, found) in zip(labels, results.items(), strict=True)
    ]
    steps = []
    if kind == "fold_in":
        steps = [
            paired_difference(
                results[after].values[headline],
                results[before].values[headline],
                resamples,
                seed,
                name=f"{name}, n = {after}",
                against=f"n = {before}",
                metric=headline,
            )
            for before, after in pairwise(results)
        ]
    return Curve(name, kind, rule, points, steps, results)


def intervals(found: RankingResult, resamples: int, seed: int) -> dict[str, Interval]:
    """Return the 95 % interval of every metric, nothing without queries."""
    if not found.n:
        return {}
    return {name: bootstrap_mean(v, resamples, seed) for name, v in found.values.items()}


def _labels(numbers: Sequence[int]) -> list[str]:
    labels = [
        str(low) if high == low + 1 else f"{low} to {high - 1}" for low, high in pairwise(numbers)
    ]
    return [*labels, f"{numbers[-1]} and more"]


def read_slice(plain: Mapping[str, Any]) -> Slice:
    """Return the slice that a report's JSON holds."""
    rows = [SliceRow(row["name"], row["n"], _metrics(row["metrics"])) for row in plain["rows"]]
    return Slice(plain["name"], plain["rule"], rows)


def read_curve(plain: Mapping[str, Any]) -> Curve:
    """Return the curve that a report's JSON holds."""
    points = [
        CurvePoint(p["n"], p["label"], p["queries"], _metrics(p["metrics"]))
        for p in plain["points"]
    ]
    steps = [Comparison(**step) for step in plain["steps"]]
    return Curve(plain["name"], plain["kind"], plain["rule"], points, steps)


def _metrics(plain: Mapping[str, Any]) -> dict[str, Interval]:
    return {name: Interval(**found) for name, found in plain.items()}
