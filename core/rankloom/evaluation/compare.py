"""Several methods on the same queries: seeds averaged, rows, paired comparisons, a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rankloom.errors import DataError, did_you_mean
from rankloom.evaluation.intervals import Comparison, bootstrap_mean, paired_difference
from rankloom.evaluation.ranking import RankingResult
from rankloom.evaluation.report import ReportRow

__all__ = ["REFERENCES", "Compared", "average_seeds", "best_part", "compare_results"]

#: Stand in every table; everything else is compared with them.
REFERENCES: tuple[str, ...] = ("popularity", "ease", "markov")

Results = RankingResult | Sequence[RankingResult]


@dataclass(frozen=True)
class Compared:
    """Several methods judged on the same queries.

    Attributes:
        rows: One a method, in the order given.
        comparisons: Every other method against each reference, then the hybrid against its parts.
        verdict: The hybrid against its best part; ``verdict.not_worse`` is the claim.
        warnings: What a reader must know: references that are missing.
    """

    rows: list[ReportRow]
    comparisons: list[Comparison]
    verdict: Comparison | None
    warnings: list[str]


def average_seeds(results: Sequence[RankingResult]) -> RankingResult:
    """Return one result whose values are means over seeds, query by query.

    A query (user) that occurs several times, in one result or in several, counts once, with the
    mean of its values; queries come out in ascending order. Coverage is the mean over results.

    Raises:
        DataError: There is no result, or they hold different metrics.
    """
    if not results:
        raise DataError("There is no result to average.")
    names = list(results[0].values)
    for other in results[1:]:
        if set(other.values) != set(names) or set(other.coverage) != set(results[0].coverage):
            raise DataError(
                f"Results of different seeds hold different metrics: {', '.join(names)} and "
                f"{', '.join(other.values)}. Evaluate all of them with the same metrics and k."
            )
    queries, at = torch.unique(torch.cat([r.queries for r in results]), return_inverse=True)
    counts = torch.bincount(at, minlength=int(queries.shape[0]))

    def mean(name: str) -> Tensor:
        values = torch.cat([r.values[name] for r in results])
        return values.new_zeros(queries.shape[0]).index_add(0, at, values) / counts

    coverage = {
        name: sum(r.coverage[name] for r in results) / len(results) for name in results[0].coverage
    }
    return RankingResult({name: mean(name) for name in names}, queries, coverage)


def best_part(
    validation_results: Mapping[str, RankingResult | float], metric: str = "ndcg@10"
) -> str:
    """Return the name of the part that is best on validation; the first among equals.

    Args:
        validation_results: Each part's result on validation, never on test, or its mean.
        metric: What decides.

    Raises:
        DataError: There is no part, or none has a value.
    """
    means = {
        name: found if isinstance(found, int | float) else found.mean(metric)
        for name, found in validation_results.items()
    }
    known = {name: value for name, value in means.items() if value == value}
    if not known:
        raise DataError(f"No part has a value of {metric!r} on validation, so none is the best.")
    return max(known, key=lambda name: known[name])


def compare_results(
    results: Mapping[str, Results],
    headline: str = "ndcg@10",
    *,
    hybrid: str | None = None,
    best: str | None = None,
    references: Sequence[str] = REFERENCES,
    fit_seconds: Mapping[str, float] | None = None,
    notes: Mapping[str, str] | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Compared:
    """Turn results on the same queries into report rows and paired comparisons.

    Args:
        results: Each method's result on test, or one a seed (averaged per query).
        headline: The metric of intervals and comparisons.
        hybrid: The method made of others, if there is one.
        best: Its best part by :func:`best_part`; needed for a verdict.
        references: Methods that everything else is compared with.
        fit_seconds: Printed beside a method's row.
        notes: Printed beside a method's row.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        DataError: ``hybrid`` or ``best`` is none of the methods, the headline was not measured, or
            the methods were judged on different queries.
    """
    for name in (hybrid, best):
        if name is not None and name not in results:
            raise DataError(
                f"There is no result of {name!r}.{did_you_mean(name, results)} "
                f"Results: {', '.join(results)}."
            )
    averaged = {name: average_seeds(_as_list(found)) for name, found in results.items()}
    _check_same_queries(averaged)
    seconds, remarks = fit_seconds or {}, notes or {}

    def compare(name: str, against: str) -> Comparison:
        a, b = averaged[name].values[headline], averaged[against].values[headline]
        return paired_difference(a, b, resamples, seed, name=name, against=against, metric=headline)

    rows = [
        _row(name, found, headline, seconds.get(name), remarks.get(name, ""), resamples, seed)
        for name, found in averaged.items()
    ]
    present = [name for name in references if name in averaged]
    pairs = [(a, b) for a in averaged if a not in present for b in present]
    if hybrid is not None and best is not None and (hybrid, best) not in pairs:
        pairs.append((hybrid, best))
    compared = {pair: compare(*pair) for pair in pairs}
    verdict = None if hybrid is None or best is None else compared[hybrid, best]
    missing = [name for name in references if name not in averaged]
    warnings = [f"{name} is not in the table, so nothing is compared with it." for name in missing]
    return Compared(rows, list(compared.values()), verdict, warnings)


def _as_list(found: Results) -> Sequence[RankingResult]:
    return [found] if isinstance(found, RankingResult) else found


def _check_same_queries(results: Mapping[str, RankingResult]) -> None:
    first, *others = results.items()
    for name, found in others:
        if not torch.equal(found.queries, first[1].queries):
            raise DataError(
                f"{name!r} was judged on {found.n} queries and {first[0]!r} on {first[1].n}, not "
                "the same ones; paired comparisons need the same split and protocol."
            )


def _row(
    name: str,
    found: RankingResult,
    headline: str,
    seconds: float | None,
    note: str,
    resamples: int,
    seed: int,
) -> ReportRow:
    found.mean(headline)  # names what was measured if the headline was not
    interval = bootstrap_mean(found.values[headline], resamples, seed)
    return ReportRow(name, found.n, found.means(), interval, seconds, note)
