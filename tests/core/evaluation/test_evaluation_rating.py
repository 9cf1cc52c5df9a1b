"""RatingAccumulator against numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rankloom.errors import DataError
from rankloom.evaluation import RatingAccumulator


def test_errors_equal_numpy_over_blocks() -> None:
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(1, 6, 100).astype("f4"), rng.normal(3, 1, 100).astype("f4")
    predicted[[3, 50]] = np.nan
    judge = RatingAccumulator()
    for part in (slice(0, 40), slice(40, 100)):
        judge.add(torch.from_numpy(predicted[part]), torch.from_numpy(true[part]))
    result = judge.result()
    known = ~np.isnan(predicted)
    errors = predicted[known].astype("f8") - true[known]
    assert result.rmse == pytest.approx(np.sqrt((errors**2).mean()))
    assert result.mae == pytest.approx(np.abs(errors).mean())
    assert result.squared_errors.numpy() == pytest.approx(errors**2)
    assert result.rows.tolist() == np.flatnonzero(known).tolist()
    interval = result.interval(1000)
    assert result.to_dict(1000) == {
        "rmse": result.rmse, "rmse_low": interval.low, "rmse_high": interval.high,
        "mae": result.mae, "n": 98, "unanswered": 2,
    }  # fmt: skip
    assert interval.low < interval.mean < interval.high
    assert interval.mean == pytest.approx(result.rmse)


def test_given_row_ids_are_kept() -> None:
    judge = RatingAccumulator()
    judge.add(torch.tensor([1.0, math.nan]), torch.tensor([2.0, 2.0]), torch.tensor([9, 4]))
    assert judge.result().rows.tolist() == [9]


def test_nothing_judged_is_nan() -> None:
    result = RatingAccumulator().result()
    assert math.isnan(result.rmse)
    assert result.n == 0
    with pytest.raises(DataError):
        result.interval()


def test_wrong_rows_are_named() -> None:
    judge = RatingAccumulator()
    with pytest.raises(DataError, match="Row 5 has no rating"):
        judge.add(torch.tensor([1.0]), torch.tensor([math.nan]), torch.tensor([5]))
    with pytest.raises(DataError, match="Row 0 has no rating or an infinite"):
        judge.add(torch.tensor([math.inf]), torch.tensor([1.0]))
    with pytest.raises(DataError, match="shapes"):
        judge.add(torch.zeros(2), torch.zeros(3))
