"""Ranking and rating in blocks, intervals, comparisons, leak detectors, reports."""

from __future__ import annotations

from rankloom.evaluation.blocks import (
    UNRANKED,
    evaluate_vectors,
    iterate,
    metrics_of_ranks,
    ranks_of_targets,
)
from rankloom.evaluation.compare import (
    REFERENCES,
    Compared,
    average_seeds,
    best_part,
    compare_results,
)
from rankloom.evaluation.curves import Curve, CurvePoint, Slice, SliceRow
from rankloom.evaluation.intervals import Comparison, Interval, bootstrap_mean, paired_difference
from rankloom.evaluation.leaks import (
    check_disjoint,
    check_order,
    check_reachable,
    check_universe,
    tied_share,
    training_hash,
)
from rankloom.evaluation.ranking import RankingAccumulator, RankingResult
from rankloom.evaluation.rating import RatingAccumulator, RatingResult
from rankloom.evaluation.report import EvaluationReport, ReportRow
from rankloom.evaluation.slices import by_item_count, cut_histories, fitted_positives, of_kind

__all__ = [
    "REFERENCES",
    "UNRANKED",
    "Compared",
    "Comparison",
    "Curve",
    "CurvePoint",
    "EvaluationReport",
    "Interval",
    "RankingAccumulator",
    "RankingResult",
    "RatingAccumulator",
    "RatingResult",
    "ReportRow",
    "Slice",
    "SliceRow",
    "average_seeds",
    "best_part",
    "bootstrap_mean",
    "by_item_count",
    "check_disjoint",
    "check_order",
    "check_reachable",
    "check_universe",
    "compare_results",
    "cut_histories",
    "evaluate_vectors",
    "fitted_positives",
    "iterate",
    "metrics_of_ranks",
    "of_kind",
    "paired_difference",
    "ranks_of_targets",
    "tied_share",
    "training_hash",
]
