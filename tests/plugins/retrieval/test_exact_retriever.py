"""Exact retrieval against brute force."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import rankloom_plugins.retrieval.exact as exact
from rankloom.errors import NotFittedError
from rankloom.protocols import Build, Encoded, History, QueryBatch, RaggedIndices
from rankloom_plugins.retrieval.exact import ExactRetriever
from rankloom_plugins.retrieval.plugin import ExactConfig


def _queries(vectors: Tensor | None, q: int) -> QueryBatch:
    none = RaggedIndices(torch.empty(0, dtype=torch.long), torch.zeros(q + 1, dtype=torch.long))
    return QueryBatch(
        torch.arange(q),
        History.empty(q),
        none,
        torch.zeros(q, dtype=torch.long),
        None if vectors is None else Encoded(vectors),
    )


def _brute_force(
    vectors: Tensor, table: Tensor, k: int, exclude: list[list[int]]
) -> list[list[int]]:
    out = []
    for row, query in enumerate(vectors):
        scores = table @ query
        able = [i for i in range(len(table)) if i not in exclude[row] and not scores[i].isnan()]
        kept = sorted(able, key=lambda i: (-float(scores[i]), i))[:k]
        out.append(kept + [-1] * (k - len(kept)))
    return out


@settings(max_examples=40, deadline=None)
@given(
    q=st.integers(1, 4),
    n=st.integers(1, 30),
    k=st.integers(1, 12),
    block=st.integers(1, 200),
    seed=st.integers(0, 10_000),
)
def test_equals_brute_force_with_exclusions_ties_and_blocks(
    q: int, n: int, k: int, block: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Small integers: inner products are exact and often tie.
    table = torch.randint(-2, 3, (n, 3), generator=generator).float()
    table[torch.rand(n, generator=generator) < 0.1] = torch.nan
    vectors = torch.randint(-2, 3, (q, 3), generator=generator).float()
    excluded = [
        (torch.rand(n, generator=generator) < 0.3).nonzero()[:, 0].tolist() for _ in range(q)
    ]
    retriever = ExactRetriever(ExactConfig(k=k), Build())
    retriever.refresh(table, None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_BLOCK_ELEMENTS", block)
        found = retriever.retrieve(_queries(vectors, q), k, RaggedIndices.from_lists(excluded))
    assert found.items.tolist() == _brute_force(vectors, table, k, excluded)
    assert found.mask is not None
    assert torch.equal(found.mask, found.items >= 0)


def test_new_and_changed_rows_without_touching_the_old_snapshot() -> None:
    retriever = ExactRetriever(ExactConfig(), Build())
    table = torch.tensor([[1.0], [2.0], [3.0]])
    retriever.refresh(table, None)
    before = retriever._index
    grown = torch.tensor([[9.0], [2.0], [3.0], [torch.nan], [8.0]])
    retriever.refresh(grown, torch.tensor([0, 4]))
    found = retriever.retrieve(_queries(torch.ones(1, 1), 1), 4, None)
    assert found.items.tolist() == [[0, 4, 2, 1]]
    assert before is not None
    assert before[0][:, 0].tolist() == [1.0, 2.0, 3.0]
    # Row 3 was not announced and has no vector yet.
    assert retriever.retrieve(_queries(torch.ones(1, 1), 1), 5, None).items.tolist() == [
        [0, 4, 2, 1, -1]
    ]


def test_query_without_a_vector_gets_no_candidate() -> None:
    retriever = ExactRetriever(ExactConfig(), Build())
    retriever.refresh(torch.ones(4, 2), None)
    vectors = torch.tensor([[1.0, 0.0], [torch.nan, 0.0]])
    found = retriever.retrieve(_queries(vectors, 2), 2, None)
    assert found.items.tolist() == [[0, 1], [-1, -1]]


def test_misuse_is_explained() -> None:
    retriever = ExactRetriever(ExactConfig(), Build())
    with pytest.raises(NotFittedError, match="Fit or load"):
        retriever.retrieve(_queries(torch.ones(1, 2), 1), 2, None)
    retriever.refresh(torch.ones(4, 2), None)
    with pytest.raises(ValueError, match="query tower"):
        retriever.retrieve(_queries(None, 1), 2, None)
    with pytest.raises(ValueError, match="3 wide, item vectors 2"):
        retriever.retrieve(_queries(torch.ones(1, 3), 1), 2, None)
