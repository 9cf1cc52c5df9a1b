"""Cross-entropy in one piece and in chunks against torch's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rankloom.nn.losses import (
    chunked_cross_entropy,
    cross_entropy,
    slice_candidates,
    weighted_mean,
)
from rankloom.protocols import (
    CandidateBatch,
    Encoded,
    History,
    QueryBatch,
    RaggedIndices,
    ScoreFunction,
    Scores,
    TrainBatch,
)


def _batch(q: int, n: int, seed: int, masked: bool = False) -> TrainBatch:
    generator = torch.Generator().manual_seed(seed)
    items = torch.randperm(n, generator=generator)
    columns = torch.randint(n, (q,), generator=generator)
    mask = None
    if masked:
        mask = torch.rand(q, n, generator=generator) < 0.7
        mask[torch.arange(q), columns] = True
    none = RaggedIndices(torch.empty(0, dtype=torch.long), torch.zeros(q + 1, dtype=torch.long))
    queries = QueryBatch(torch.arange(q), History.empty(q), none, torch.zeros(q, dtype=torch.long))
    return TrainBatch(
        queries,
        items[columns],
        torch.full((q,), torch.nan),
        torch.rand(q, generator=generator) + 0.1,
        CandidateBatch(items, mask),
        columns,
    )


def _dot(queries: Tensor, table: Tensor) -> ScoreFunction:
    def score(candidates: CandidateBatch) -> Scores:
        return Scores(queries @ table[candidates.items].T, "logit")

    return score


def _reference(batch: TrainBatch, logits: Tensor, smoothing: float) -> Tensor:
    assert batch.target_columns is not None
    losses = F.cross_entropy(
        logits, batch.target_columns, reduction="none", label_smoothing=smoothing
    )
    return (losses * batch.weights).sum() / batch.weights.sum()


@settings(max_examples=25, deadline=None)
@given(
    q=st.integers(1, 6),
    n=st.integers(1, 40),
    chunk=st.integers(1, 50),
    smoothing=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 1000),
)
def test_chunked_equals_torch_with_gradients(
    q: int, n: int, chunk: int, smoothing: float, seed: int
) -> None:
    batch = _batch(q, n, seed)
    assert batch.candidates is not None
    generator = torch.Generator().manual_seed(seed)
    queries = torch.randn(q, 5, generator=generator)
    table = torch.randn(n, 5, generator=generator)
    results = []
    for kind in ("torch", "whole", "chunked"):
        a, b = queries.clone().requires_grad_(), table.clone().requires_grad_()
        # Leaves are scaled first: chunks must also agree through intermediate results.
        score = _dot(a * 2, b * 3)
        if kind == "torch":
            loss = _reference(batch, score(batch.candidates).values, smoothing)
        elif kind == "whole":
            loss = cross_entropy(score, batch, smoothing)
        else:
            loss = chunked_cross_entropy(score, batch, chunk, smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        assert a.grad is not None
        assert b.grad is not None
        results.append((loss.detach(), a.grad, b.grad))
    for other in results[1:]:
        for expected, actual in zip(results[0], other, strict=True):
            torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_masked_candidates_leave_the_normaliser(smoothing: float) -> None:
    batch = _batch(5, 12, 3, masked=True)
    assert batch.candidates is not None
    assert batch.candidates.mask is not None
    assert batch.target_columns is not None
    queries, table = torch.randn(5, 4), torch.randn(12, 4)
    score = _dot(queries, table)
    logits = score(batch.candidates).values
    losses = []
    for row in range(5):
        allowed = batch.candidates.mask[row].nonzero()[:, 0]
        column = (allowed == batch.target_columns[row]).nonzero()[0]
        losses.append(
            F.cross_entropy(logits[row, allowed][None], column, label_smoothing=smoothing)
        )
    expected = (torch.stack(losses) * batch.weights).sum() / batch.weights.sum()
    torch.testing.assert_close(cross_entropy(score, batch, smoothing), expected)
    torch.testing.assert_close(chunked_cross_entropy(score, batch, 5, smoothing), expected)


def test_chunks_run_without_gradients_and_hold_one_chunk() -> None:
    batch = _batch(3, 10, 0)
    widths = []

    def score(candidates: CandidateBatch) -> Scores:
        widths.append(candidates.width)
        return Scores(torch.zeros(3, candidates.width))

    with torch.no_grad():
        loss = chunked_cross_entropy(score, batch, 4)
    assert widths == [4, 4, 2]
    torch.testing.assert_close(loss, torch.tensor(10.0).log())


def test_slicing_takes_everything_along() -> None:
    shared = CandidateBatch(
        torch.arange(6),
        torch.ones(2, 6, dtype=torch.bool),
        torch.arange(6.0),
        Encoded(torch.arange(6.0)[:, None]),
        reasons={"why": torch.zeros(2, 6, dtype=torch.bool)},
    )
    part = slice_candidates(shared, 2, 5)
    assert part.items.tolist() == [2, 3, 4]
    assert part.mask is not None
    assert part.mask.shape == (2, 3)
    assert part.encoded is not None
    assert part.encoded.vectors[:, 0].tolist() == [2, 3, 4]
    assert part.reasons["why"].shape == (2, 3)
    own = CandidateBatch(torch.arange(12).view(2, 6), encoded=Encoded(torch.rand(2, 6, 3)))
    cut = slice_candidates(own, 4, 6)
    assert cut.encoded is not None
    assert cut.encoded.vectors.shape == (2, 2, 3)


def test_weightless_batch_has_zero_loss() -> None:
    losses = torch.ones(3, requires_grad=True)
    loss = weighted_mean(losses, torch.zeros(3))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0


def test_missing_target_columns_are_named() -> None:
    batch = _batch(2, 4, 0)
    assert batch.candidates is not None
    with pytest.raises(ValueError, match="target_columns"):
        cross_entropy(
            _dot(torch.rand(2, 2), torch.rand(4, 2)), batch.with_candidates(batch.candidates, None)
        )
