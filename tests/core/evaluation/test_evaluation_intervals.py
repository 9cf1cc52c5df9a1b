"""Bootstrap: its law, its speed, its words."""

from __future__ import annotations

import resource
import time

import numpy as np
import pytest
import torch

from rankloom.errors import DataError
from rankloom.evaluation import bootstrap_mean, paired_difference


def spread(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_interval_is_that_of_the_normal_law_for_many_values() -> None:
    values = spread(3000)
    found = bootstrap_mean(values, 4000)
    half = 1.96 * float(values.std()) / 3000**0.5
    assert found.mean == pytest.approx(float(values.mean()))
    assert found.low == pytest.approx(found.mean - half, abs=half / 10)
    assert found.high == pytest.approx(found.mean + half, abs=half / 10)


def test_few_levels_and_drawn_rows_follow_the_same_law() -> None:
    coarse = (spread(400) * 4).floor()
    fine = coarse + spread(400, 1) * 1e-9  # all different, so rows are drawn
    a, b = bootstrap_mean(coarse, 20_000), bootstrap_mean(fine, 20_000)
    assert a.low == pytest.approx(b.low, abs=0.01)
    assert a.high == pytest.approx(b.high, abs=0.01)


def test_bounds_equal_a_plain_loop() -> None:
    values = spread(50)
    rng = np.random.default_rng(5)
    plain = [values.numpy()[rng.integers(0, 50, 50)].mean() for _ in range(5_000)]
    found = bootstrap_mean(values, 20_000)
    assert (found.low, found.high) == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.01)


def test_same_seed_same_interval() -> None:
    values = spread(100)
    assert bootstrap_mean(values, 500, 3) == bootstrap_mean(values, 500, 3)
    assert bootstrap_mean(values, 500, 3) != bootstrap_mean(values, 500, 4)


def test_ten_thousand_resamples_of_ml_100k_take_under_a_second() -> None:
    values = spread(943)
    start = time.process_time()
    bootstrap_mean(values, 10_000)
    assert time.process_time() - start < 1


def test_memory_is_bounded() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bootstrap_mean(spread(200_000), 100)  # all at once: 320 MB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * 1024


def test_identical_methods_have_zero_in_95_percent_of_repeats() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for repeat in range(200):
        a, b = torch.from_numpy(rng.random((2, 200)))
        found = paired_difference(a, b, 1000, repeat)
        inside += found.low <= 0 <= found.high
    assert 0.90 <= inside / 200 <= 0.985  # three standard errors of a binomial around 0.95


@pytest.mark.parametrize(
    ("shift", "noise", "verdict"),
    [
        (0.05, 0.01, "above"),
        (0.0005, 0.2, "not worse"),
        (-0.0019, 0.2, "not worse"),
        (-0.0021, 0.2, "inconclusive"),
        (-0.0010, 0.001, "worse"),
        (-0.05, 0.01, "worse"),
        (0.0, 0.0, "not worse"),
    ],
)
def test_words_of_the_protocol(shift: float, noise: float, verdict: str) -> None:
    b = spread(300)
    wobble = spread(300, 2)
    a = b + noise * (wobble - wobble.mean()) + shift
    found = paired_difference(a, b, 2000, name="hybrid", against="ease", metric="ndcg@10")
    assert found.difference == pytest.approx(shift, abs=1e-9)
    assert found.verdict == verdict
    assert found.not_worse == (verdict in ("above", "not worse"))
    assert found.detectable >= 0
    assert found.sentence().startswith("hybrid against ease: ndcg@10")
    assert "n = 300" in found.sentence()


def test_pairing_narrows_the_interval() -> None:
    b = spread(300)
    found = paired_difference(b + 0.01, b, 500)
    assert found.high - found.low < 1e-9


@pytest.mark.parametrize("values", [torch.empty(0), torch.tensor([1.0, float("nan")])])
def test_no_interval_without_values(values: torch.Tensor) -> None:
    with pytest.raises(DataError, match="finite value"):
        bootstrap_mean(values)


def test_different_queries_cannot_be_paired() -> None:
    with pytest.raises(DataError, match="same queries"):
        paired_difference(torch.zeros(3), torch.zeros(4))
