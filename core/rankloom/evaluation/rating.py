"""Collects the errors of predicted ratings block by block."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rankloom.errors import DataError
from rankloom.evaluation.intervals import Interval, bootstrap_mean

__all__ = ["RatingAccumulator", "RatingResult"]


#: Rows drawn in all resamples together: some seconds.
DRAWS = 400_000_000


@dataclass(frozen=True)
class RatingResult:
    """Errors of predicted ratings.

    Attributes:
        squared_errors: ``[n]`` float64 of the rows that had a prediction.
        rows: ``[n]`` int64 ids of those rows (positions in the data set's interactions).
        rmse: Root of the mean squared error, NaN without a row.
        mae: Mean absolute error, NaN without a row.
        unanswered: Rows whose prediction was NaN; they are in none of the above.
    """

    squared_errors: Tensor
    rows: Tensor
    rmse: float
    mae: float
    unanswered: int

    @property
    def n(self) -> int:
        """Number of rows with a prediction."""
        return int(self.rows.shape[0])

    def interval(self, resamples: int = 10_000, seed: int = 0) -> Interval:
        """Return the 95 % bootstrap interval of the RMSE over rows.

        The root is monotone, so the bounds of the mean squared error carry over.

        Raises:
            DataError: There is no row.
        """
        of_mse = bootstrap_mean(self.squared_errors, resamples, seed)
        return Interval(of_mse.mean**0.5, of_mse.low**0.5, of_mse.high**0.5)

    def to_dict(self, resamples: int = 10_000, seed: int = 0) -> dict[str, float | int]:
        """Return what reports print; the interval of the RMSE where there is a row.

        Args:
            resamples: See :meth:`interval`; fewer (1,000 at least) where rows are so many that
                drawing them would take long.
            seed: See :meth:`interval`.
        """
        out: dict[str, float | int] = {"rmse": self.rmse}
        if self.n:
            few = max(DRAWS // self.n, 1000)
            interval = self.interval(min(resamples, few), seed)
            out |= {"rmse_low": interval.low, "rmse_high": interval.high}
        return {**out, "mae": self.mae, "n": self.n, "unanswered": self.unanswered}


class RatingAccumulator:
    """Compares predicted with true ratings in blocks of rows."""

    def __init__(self) -> None:
        self._errors: list[Tensor] = []
        self._rows: list[Tensor] = []
        self._unanswered = 0
        self._next_row = 0

    def add(self, predicted: Tensor, true: Tensor, rows: Tensor | None = None) -> None:
        """Judge a block.

        Args:
            predicted: ``[m]``; NaN where nothing could be predicted (counted, not judged).
            true: ``[m]``.
            rows: ``[m]`` int64 ids, by default counted on from the block before.

        Raises:
            DataError: Sizes differ, or a true rating is NaN or a prediction infinite.
        """
        m = int(true.shape[0])
        if rows is None:
            rows = torch.arange(self._next_row, self._next_row + m)
        if predicted.shape != true.shape or rows.shape != true.shape:
            raise DataError(
                f"{tuple(true.shape)} ratings came with {tuple(predicted.shape)} predictions and "
                f"{tuple(rows.shape)} row ids; the shapes must be equal."
            )
        errors = predicted.to("cpu", torch.float64) - true.to("cpu", torch.float64)
        answered = ~predicted.isnan().cpu()
        self._check(errors, answered, rows.cpu())
        self._errors.append(errors[answered])
        self._rows.append(rows.cpu()[answered])
        self._unanswered += m - int(answered.sum())
        self._next_row += m

    def result(self) -> RatingResult:
        """Return everything added so far."""
        errors = torch.cat([torch.empty(0, dtype=torch.float64), *self._errors])
        squared = errors.square()
        return RatingResult(
            squared,
            torch.cat([torch.empty(0, dtype=torch.long), *self._rows]),
            float(squared.mean().sqrt()),
            float(errors.abs().mean()),
            self._unanswered,
        )

    def _check(self, errors: Tensor, answered: Tensor, rows: Tensor) -> None:
        wrong = (answered & ~errors.isfinite()).nonzero()
        if wrong.numel():
            raise DataError(
                f"Row {int(rows[wrong[0, 0]])} has no rating or an infinite prediction; "
                "ratings are judged on rows with a value alone."
            )
