"""Exact ranks in blocks against a sort in plain Python."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import DataError
from rankloom.evaluation import (
    UNRANKED,
    RankingAccumulator,
    blocks,
    evaluate_vectors,
    iterate,
    ranks_of_targets,
)
from rankloom.protocols import Build, RaggedIndices
from rankloom_plugins.metrics.mrr import Mrr
from rankloom_plugins.metrics.ndcg import Ndcg
from rankloom_plugins.metrics.plugin import MrrConfig, NdcgConfig, RecallConfig
from rankloom_plugins.metrics.recall import Recall


def plain_rank(scores: list[float], target: int) -> int:
    """Position in the documented order: score downwards, then column upwards."""
    shown = [c for c, s in enumerate(scores) if not math.isnan(s) and s > -math.inf]
    order = sorted(shown, key=lambda c: (-scores[c], c))
    return order.index(target) + 1 if target in order else UNRANKED


score = st.sampled_from([-math.inf, math.nan, 0.0, 1.0, 2.0, 3.5])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 12), st.booleans(), st.data())
def test_ranks_with_ties_and_masks(q: int, n: int, one_each: bool, data: st.DataObject) -> None:
    rows = [data.draw(st.lists(score, min_size=n, max_size=n)) for _ in range(q)]
    most = 1 if one_each else 4
    least = 1 if one_each else 0
    column = st.integers(0, n - 1)
    targets = [data.draw(st.lists(column, min_size=least, max_size=most)) for _ in range(q)]
    found = ranks_of_targets(torch.tensor(rows), RaggedIndices.from_lists(targets))
    expected = [plain_rank(rows[i], t) for i, row in enumerate(targets) for t in row]
    assert found.tolist() == expected


def test_tiles_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(5, (30, 100), generator=generator).float()
    targets = RaggedIndices.from_lists([torch.randperm(100)[: 1 + i % 4] for i in range(30)])
    whole = ranks_of_targets(scores, targets)
    monkeypatch.setattr(blocks, "_TARGETS", 7)
    monkeypatch.setattr(blocks, "_COLUMNS", 13)
    assert torch.equal(ranks_of_targets(scores, targets), whole)


def problem(q: int = 40, n: int = 90) -> tuple[torch.Tensor, torch.Tensor, list[list[int]]]:
    """Small whole numbers, so that products are exact and ties are many."""
    generator = torch.Generator().manual_seed(1)
    queries = torch.randint(-2, 3, (q, 6), generator=generator).float()
    items = torch.randint(-2, 3, (n, 6), generator=generator).float()
    drawn = torch.randint(n, (q, 12), generator=generator)
    return queries, items, drawn.tolist()  # with replacement: some repeat


@pytest.mark.parametrize("block", [1, 7, None])
def test_vectors_equal_brute_force(block: int | None) -> None:
    queries, items, drawn = problem()
    # Seen items repeat, and the last target of every third query has been seen.
    seen = [row[:5] + row[:2] + (row[9:10] if i % 3 == 0 else []) for i, row in enumerate(drawn)]
    targets = [[t for t in row[6:10]] for row in drawn]
    candidates = torch.ones(90, dtype=torch.bool)
    candidates[::10] = False
    found = evaluate_vectors(
        queries,
        items,
        RaggedIndices.from_lists(targets),
        RaggedIndices.from_lists(seen),
        (5, 20),
        block,
        candidates,
    )
    metrics = [
        Ndcg(NdcgConfig(), Build()), Recall(RecallConfig(), Build()), Mrr(MrrConfig(), Build()),
    ]  # fmt: skip
    judge = RankingAccumulator(metrics, (5, 20), 90)
    slates = []
    for i in range(40):
        scores = (items @ queries[i]).tolist()
        shown = [c for c in range(90) if bool(candidates[c]) and c not in seen[i]]
        slates.append(sorted(shown, key=lambda c: (-scores[c], c))[:20])
    judge.add(torch.arange(40), torch.tensor(slates), RaggedIndices.from_lists(targets))
    expected = judge.result()
    assert set(found.values) == set(expected.values)
    for name, values in expected.values.items():
        assert found.values[name].tolist() == pytest.approx(values.tolist()), name


def test_real_vectors_agree_with_a_float64_sort() -> None:
    generator = torch.Generator().manual_seed(2)
    queries = torch.randn(200, 16, generator=generator)
    items = torch.randn(500, 16, generator=generator)
    items[250:] = items[:250]  # every item has a copy: ties everywhere
    targets = torch.randint(250, (200,), generator=generator)
    nothing = RaggedIndices.from_lists([[]] * 200)
    found = evaluate_vectors(
        queries, items, RaggedIndices(targets, torch.arange(201)), nothing, (500,), 33
    )
    order = (queries @ items.T).argsort(dim=1, descending=True, stable=True)
    rank = (order == targets[:, None]).nonzero()[:, 1] + 1
    assert found.values["mrr@500"].tolist() == pytest.approx((1 / rank).tolist(), rel=0.02)


def test_slices_cover_everything_once() -> None:
    assert [list(range(10))[part] for part in iterate(10, 4)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]
    assert list(iterate(0, 4)) == []
    with pytest.raises(DataError, match="block_size = 0"):
        list(iterate(3, 0))


@pytest.mark.parametrize(
    ("targets", "seen", "ks", "message"),
    [
        ([[1], []], [[], []], (5,), "Query 1 has no target"),
        ([[1], [90]], [[], []], (5,), "targets hold item indices"),
        ([[1], [2]], [[], [-1]], (5,), "seen items hold item indices"),
        ([[1]], [[], []], (5,), "1 rows of targets"),
        ([[1], [2]], [[], []], (), "at least 1"),
    ],
)
def test_wrong_inputs_are_named(
    targets: list[list[int]], seen: list[list[int]], ks: tuple[int, ...], message: str
) -> None:
    queries, items, _ = problem(2)
    wanted, hidden = RaggedIndices.from_lists(targets), RaggedIndices.from_lists(seen)
    with pytest.raises(DataError, match=message):
        evaluate_vectors(queries, items, wanted, hidden, ks)
