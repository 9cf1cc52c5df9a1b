"""Scores with what is not known, and what is left to choose from."""

from __future__ import annotations

import torch

from rankloom.protocols import CandidateBatch, ScoredCandidates, Scores
from rankloom.testing import make_world


def test_marks_mask_like_a_mask() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3, 5, generator=generator)
    known = torch.tensor([True, False, True, True, False])
    marks = torch.zeros(5).masked_fill(~known, torch.nan)
    scores = Scores(values, "logit", values.abs(), lambda g: torch.randn(3, 5, generator=g))
    one, other = scores.plus(marks), scores.masked(known)
    for a, b in ((one.values, other.values), (one.std, other.std)):
        assert a is not None
        assert b is not None
        torch.testing.assert_close(a, b, equal_nan=True)
    assert one.sample is not None
    assert one.sample(torch.Generator()).isnan().equal(~known.expand(3, -1))
    assert one.scale == "logit"


def test_utilities_hold_what_is_allowed_and_known() -> None:
    queries = make_world().queries
    q, n = len(queries), 4
    values = torch.zeros(q, n)
    values[0] = torch.nan
    values[1, 2] = torch.inf
    mask = torch.ones(q, n, dtype=torch.bool)
    mask[2] = False
    mask[3, 1] = False
    scored = ScoredCandidates(queries, CandidateBatch(torch.arange(n), mask), Scores(values))
    expected = torch.where(mask & ~values.isnan(), values, -torch.inf)
    assert torch.equal(scored.utilities(), expected)
    assert scored.helpless().tolist() == [i in (0, 2) for i in range(q)]
    nothing = ScoredCandidates(
        queries, CandidateBatch(torch.empty(0, dtype=torch.long)), Scores(torch.empty(q, 0))
    )
    assert nothing.helpless().all()
