"""Stable top-k and the slot-by-slot parts against plain references."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.nn.slates import sequential_log_probs, silent, stable_topk
from rankloom.protocols import GuardBase, ScoredCandidates


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.sampled_from([-float("inf"), -1.0, 0.0, 1.0, 2.0]), min_size=9, max_size=9),
        min_size=1,
        max_size=4,
    ),
    k=st.integers(0, 12),
)
def test_stable_topk_equals_stable_numpy_sort(rows: list[list[float]], k: int) -> None:
    values = torch.tensor(rows)
    top, columns = stable_topk(values, k)
    expected = np.argsort(-values.numpy(), axis=1, kind="stable")[:, :k]
    assert torch.equal(top, values.gather(1, columns))
    reference = values.gather(1, torch.from_numpy(expected.copy()))
    assert torch.equal(top, reference)
    finite = (reference > -torch.inf).numpy()
    assert (columns.numpy()[finite] == expected[finite]).all()


def test_sequential_log_probs_equal_masked_softmaxes() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 9, dtype=torch.double) * 30
    columns = torch.stack([torch.randperm(9)[:5] for _ in range(4)])
    actual = sequential_log_probs(logits, columns)
    for row in range(4):
        left = logits[row].clone()
        for slot in range(5):
            expected = left.log_softmax(0)[columns[row, slot]]
            torch.testing.assert_close(actual[row, slot], expected)
            left[columns[row, slot]] = -torch.inf


def test_only_guards_that_keep_the_base_penalty_are_silent() -> None:
    class Loud(GuardBase):
        def penalty(self, scored: ScoredCandidates, prefix: torch.Tensor) -> torch.Tensor | None:
            return None

    assert silent([GuardBase()])
    assert silent([])
    assert not silent([GuardBase(), Loud()])
