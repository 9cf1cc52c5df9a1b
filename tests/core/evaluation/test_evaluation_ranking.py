"""RankingAccumulator against plain Python."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import DataError
from rankloom.evaluation import RankingAccumulator
from rankloom.protocols import Build, RaggedIndices
from rankloom_plugins.metrics.ndcg import Ndcg
from rankloom_plugins.metrics.plugin import NdcgConfig, RecallConfig
from rankloom_plugins.metrics.recall import Recall

N_ITEMS = 12
METRICS = [Ndcg(NdcgConfig(), Build()), Recall(RecallConfig(), Build())]


def plain_ndcg(slate: list[int], targets: set[int], k: int) -> float:
    gain = sum(1 / math.log2(at + 2) for at, item in enumerate(slate[:k]) if item in targets)
    return gain / sum(1 / math.log2(at + 2) for at in range(min(k, len(targets))))


slates = st.lists(st.permutations(range(N_ITEMS)).map(lambda p: p[:6]), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None)
@given(slates, st.data())
def test_values_equal_a_loop_over_queries(rows: list[list[int]], data: st.DataObject) -> None:
    empty = data.draw(st.lists(st.integers(0, 5), min_size=len(rows), max_size=len(rows)))
    rows = [row[: 6 - e] + [-1] * e for row, e in zip(rows, empty, strict=True)]
    targets = [
        data.draw(st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=9)) for _ in rows
    ]
    judge = RankingAccumulator(METRICS, [3, 6, 8], N_ITEMS)
    cut = data.draw(st.integers(0, len(rows)))
    for part in (slice(0, cut), slice(cut, None)):
        if rows[part]:
            ids = torch.arange(100, 100 + len(rows))[part]
            judge.add(ids, torch.tensor(rows[part]), RaggedIndices.from_lists(targets[part]))
    result = judge.result()
    assert result.queries.tolist() == list(range(100, 100 + len(rows)))
    for k in (3, 6, 8):
        wanted = [set(row) for row in targets]
        ndcg = [plain_ndcg(row, t, k) for row, t in zip(rows, wanted, strict=True)]
        recall = [len(t & set(row[:k])) / len(t) for row, t in zip(rows, wanted, strict=True)]
        assert result.values[f"ndcg@{k}"].tolist() == pytest.approx(ndcg)
        assert result.values[f"recall@{k}"].tolist() == pytest.approx(recall)
        shown = {item for row in rows for item in row[:k]} - {-1}
        assert result.coverage[f"coverage@{k}"] == pytest.approx(len(shown) / N_ITEMS)
    assert result.means()["ndcg@3"] == pytest.approx(result.mean("ndcg@3"))


def test_an_item_of_another_query_is_no_hit() -> None:
    judge = RankingAccumulator(METRICS, [2], N_ITEMS)
    judge.add(
        torch.tensor([0, 1]), torch.tensor([[1, 2], [3, 4]]), RaggedIndices.from_lists([[3], [1]])
    )
    assert judge.result().values["recall@2"].tolist() == [0.0, 0.0]


def test_no_query_is_no_number() -> None:
    result = RankingAccumulator(METRICS, [2], N_ITEMS).result()
    assert result.n == 0
    assert math.isnan(result.mean("ndcg@2"))
    with pytest.raises(DataError, match=r"ndcg@5.*was not measured"):
        result.mean("ndcg@5")


@pytest.mark.parametrize(
    ("slate", "targets", "message"),
    [
        ([[1, 1]], [[1]], "shows an item twice"),
        ([[1, 2]], [[]], "Query 7 has no target"),
        ([[1, 12]], [[1]], "slates hold item indices from 1 to 12"),
        ([[1, 2]], [[12]], "targets hold item indices"),
        ([[1, 2]], [[-1]], "targets hold item indices"),
        ([[1, 2]], [[1], [2]], "2 rows of targets"),
    ],
)
def test_wrong_blocks_are_named(
    slate: list[list[int]], targets: list[list[int]], message: str
) -> None:
    judge = RankingAccumulator(METRICS, [2], N_ITEMS)
    with pytest.raises(DataError, match=message):
        judge.add(torch.tensor([7]), torch.tensor(slate), RaggedIndices.from_lists(targets))


def test_several_empty_slots_are_no_repetition() -> None:
    judge = RankingAccumulator(METRICS, [3], N_ITEMS)
    judge.add(torch.tensor([0]), torch.tensor([[4, -1, -1]]), RaggedIndices.from_lists([[4]]))
    assert judge.result().mean("recall@3") == 1.0


@pytest.mark.parametrize(("metrics", "ks"), [([], [1]), (METRICS, []), (METRICS, [0])])
def test_settings_that_measure_nothing(metrics: list[Ndcg | Recall], ks: list[int]) -> None:
    with pytest.raises(DataError):
        RankingAccumulator(metrics, ks, N_ITEMS)
