"""Averaging seeds, the best part, rows and verdicts."""

from __future__ import annotations

import pytest
import torch

from rankloom.errors import DataError
from rankloom.evaluation import RankingResult, average_seeds, best_part, compare_results


def result(
    values: list[float], queries: list[int] | None = None, cover: float = 0.5
) -> RankingResult:
    ids = torch.arange(len(values)) if queries is None else torch.tensor(queries)
    column = torch.tensor(values, dtype=torch.float64)
    return RankingResult({"ndcg@10": column, "mrr@10": column / 2}, ids, {"coverage@10": cover})


def test_seeds_are_averaged_by_user() -> None:
    found = average_seeds([result([1.0, 0.0], [5, 2]), result([0.5, 0.4], [2, 7], cover=0.7)])
    assert found.queries.tolist() == [2, 5, 7]
    assert found.values["ndcg@10"].tolist() == [0.25, 1.0, 0.4]
    assert found.coverage["coverage@10"] == pytest.approx(0.6)


def test_different_metrics_are_not_averaged() -> None:
    other = RankingResult({"recall@10": torch.zeros(1)}, torch.zeros(1, dtype=torch.long))
    with pytest.raises(DataError, match="different metrics"):
        average_seeds([result([1.0]), other])
    with pytest.raises(DataError, match="no result"):
        average_seeds([])


def test_best_part_is_the_first_of_the_best() -> None:
    assert best_part({"a": result([0.1]), "b": result([0.3]), "c": result([0.3])}) == "b"
    assert best_part({"a": 0.1, "b": float("nan")}) == "a"
    with pytest.raises(DataError, match="none is the best"):
        best_part({"a": float("nan")})


def table(n: int = 200) -> dict[str, RankingResult]:
    base = torch.rand(n, generator=torch.Generator().manual_seed(0)).tolist()
    return {
        "popularity": result([v * 0.3 for v in base]),
        "ease": result([v * 0.7 for v in base]),
        "markov": result([v * 0.8 for v in base]),
        "seq": result([v * 0.75 for v in base]),
        "hybrid": result([v * 0.9 for v in base]),
    }


def test_everything_is_compared_with_the_references() -> None:
    found = compare_results(
        table(),
        hybrid="hybrid",
        best="markov",
        fit_seconds={"seq": 3.5},
        notes={"seq": "5 epochs"},
        resamples=500,
    )
    assert [row.name for row in found.rows] == ["popularity", "ease", "markov", "seq", "hybrid"]
    assert found.rows[3].fit_seconds == 3.5
    assert found.rows[3].note == "5 epochs"
    assert list(found.rows[0].metrics) == ["ndcg@10", "mrr@10", "coverage@10"]
    interval = found.rows[4].interval
    assert interval is not None
    assert interval.low < found.rows[4].metrics["ndcg@10"] < interval.high
    pairs = {(c.name, c.against): c.verdict for c in found.comparisons}
    assert pairs == {
        ("seq", "popularity"): "above",
        ("seq", "ease"): "above",
        ("seq", "markov"): "worse",
        ("hybrid", "popularity"): "above",
        ("hybrid", "ease"): "above",
        ("hybrid", "markov"): "above",
    }
    assert found.verdict is not None
    assert (found.verdict.against, found.verdict.not_worse) == ("markov", True)
    assert found.warnings == []


def test_best_part_that_is_no_reference_gets_its_own_comparison() -> None:
    found = compare_results(table(), hybrid="hybrid", best="seq", resamples=200)
    assert found.verdict is not None
    assert found.verdict.against == "seq"
    assert found.comparisons[-1] is found.verdict


def test_a_hybrid_may_be_its_best_part_or_stand_alone() -> None:
    found = compare_results({"a": result([0.5, 0.5])}, hybrid="a", best="a", resamples=50)
    assert found.verdict is not None
    assert found.verdict.verdict == "not worse"
    assert len(found.warnings) == 3


def test_seeds_and_order_of_queries_do_not_matter() -> None:
    a = [result([0.1, 0.2], [0, 1]), result([0.4, 0.3], [1, 0])]
    found = compare_results({"a": a, "ease": result([0.3, 0.2], [1, 0])}, resamples=50)
    assert found.rows[0].metrics["ndcg@10"] == pytest.approx(0.25)
    assert found.comparisons[0].difference == pytest.approx(0.0)


def test_wrong_comparisons_are_named() -> None:
    with pytest.raises(DataError, match="not the same ones"):
        compare_results({"a": result([0.1]), "b": result([0.1], [3])})
    with pytest.raises(DataError, match="Did you mean 'hybrid'"):
        compare_results(table(), hybrid="hybird")
    with pytest.raises(DataError, match="was not measured"):
        compare_results(table(), "ndcg@20")
