"""Bootstrap intervals over queries and the words that follow from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rankloom.errors import DataError

__all__ = [
    "NOT_WORSE_MARGIN",
    "Comparison",
    "Interval",
    "Verdict",
    "bootstrap_mean",
    "paired_difference",
]

Verdict = Literal["above", "not worse", "inconclusive", "worse"]
_Floats = NDArray[np.float64]

#: A point difference below the negative of this is never called "not worse".
NOT_WORSE_MARGIN = 0.002

_QUANTILES = (0.025, 0.975)
_CHUNK = 2_000_000  # resampled values held at a time: 16 MB of them and 16 MB of indices


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A paired difference of two methods over the same queries.

    Attributes:
        difference: Mean of ``a - b``.
        low: Lower bound of its 95 % interval.
        high: Upper bound.
        n: Number of queries.
        verdict: What may be claimed; see :func:`paired_difference`.
        name: The method ``a``.
        against: The method ``b``.
        metric: What was compared.
    """

    difference: float
    low: float
    high: float
    n: int
    verdict: Verdict
    name: str = ""
    against: str = ""
    metric: str = ""

    @property
    def not_worse(self) -> bool:
        """True if the verdict is "above" or "not worse"."""
        return self.verdict in ("above", "not worse")

    @property
    def detectable(self) -> float:
        """Half the interval's width: smaller differences do not show on this many queries."""
        return (self.high - self.low) / 2

    def sentence(self) -> str:
        """Return the comparison in words, with n and the interval."""
        subject = f"{self.name or 'a'} against {self.against or 'b'}"
        metric = f" {self.metric}" if self.metric else ""
        return (
            f"{subject}:{metric} {self.difference:+.4f} [{self.low:+.4f}, {self.high:+.4f}], "
            f"n = {self.n:,}: {self.verdict}"
        )


def bootstrap_mean(values: Tensor, resamples: int = 10_000, seed: int = 0) -> Interval:
    """Return the mean of ``values`` with its 95 % percentile bootstrap interval.

    Args:
        values: ``[n]``, one a query.
        resamples: Samples of ``n`` drawn with replacement.
        seed: The same seed gives the same interval.

    Raises:
        DataError: There is no value, or one is not finite.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.
    """
    sample = values.detach().cpu().to(torch.float64).numpy()
    if sample.ndim != 1 or sample.size == 0 or not np.isfinite(sample).all():
        raise DataError(
            f"A bootstrap needs one finite value a query, got shape {sample.shape} with "
            f"{int((~np.isfinite(sample)).sum())} values that are not finite."
        )
    means = _resampled_means(sample, resamples, np.random.default_rng(seed))
    low, high = np.quantile(means, _QUANTILES)
    return Interval(float(sample.mean()), float(low), float(high))


def paired_difference(
    a: Tensor,
    b: Tensor,
    resamples: int = 10_000,
    seed: int = 0,
    *,
    name: str = "",
    against: str = "",
    metric: str = "",
) -> Comparison:
    """Compare two methods query by query.

    The verdict is "above" if the lower bound is above 0; else "not worse" if the difference is at
    least -0.002 and the upper bound above 0 (or the two agree on every query); else "worse" if the
    upper bound is not above 0; else "inconclusive": the data cannot tell.

    Args:
        a: ``[n]`` values of the one, higher is better.
        b: ``[n]`` values of the other, for the same queries in the same order.
        resamples: See :func:`bootstrap_mean`.
        seed: See :func:`bootstrap_mean`.
        name: Printed name of ``a``.
        against: Printed name of ``b``.
        metric: Printed name of what is compared.

    Raises:
        DataError: The sizes differ, there is no value, or one is not finite.
    """
    if a.shape != b.shape:
        raise DataError(
            f"A paired comparison needs the same queries on both sides, got {tuple(a.shape)} and "
            f"{tuple(b.shape)} values."
        )
    difference = a.detach().cpu().to(torch.float64) - b.detach().cpu().to(torch.float64)
    found = bootstrap_mean(difference, resamples, seed)
    same = not bool(difference.any())
    return Comparison(
        found.mean,
        found.low,
        found.high,
        int(a.shape[0]),
        "not worse" if same else _verdict(found),
        name,
        against,
        metric,
    )


def _verdict(found: Interval) -> Verdict:
    if found.low > 0:
        return "above"
    if found.high <= 0:
        return "worse"
    return "not worse" if found.mean >= -NOT_WORSE_MARGIN else "inconclusive"


def _resampled_means(sample: _Floats, resamples: int, rng: np.random.Generator) -> _Floats:
    """``[resamples]`` means of samples drawn with replacement."""
    levels, counts = np.unique(sample, return_counts=True)
    # With one target a query a metric takes few values. How often each is drawn is multinomial: the
    # same law as drawing queries, at a cost that does not grow with their number.
    if levels.size * 4 <= sample.size:
        return _from_levels(levels, counts, resamples, rng)
    return _from_draws(sample, resamples, rng)


def _from_levels(
    levels: _Floats, counts: NDArray[np.int64], resamples: int, rng: np.random.Generator
) -> _Floats:
    n = int(counts.sum())

    def draw(size: int) -> _Floats:
        means: _Floats = rng.multinomial(n, counts / n, size=size) @ levels / n
        return means

    return _in_chunks(draw, resamples, levels.size)


def _from_draws(sample: _Floats, resamples: int, rng: np.random.Generator) -> _Floats:
    def draw(size: int) -> _Floats:
        rows = rng.integers(0, sample.size, size=(size, sample.size), dtype=np.int32)
        means: _Floats = sample[rows].mean(axis=1)
        return means

    return _in_chunks(draw, resamples, sample.size)


def _in_chunks(draw: Callable[[int], _Floats], resamples: int, width: int) -> _Floats:
    size = max(1, _CHUNK // width)
    sizes = [min(size, resamples - start) for start in range(0, resamples, size)]
    return np.concatenate([draw(part) for part in sizes])
