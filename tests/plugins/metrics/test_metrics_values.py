"""The built-in metrics against torchmetrics and hand cases."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module

import pytest
import torch
from torchmetrics.functional.retrieval import (
    retrieval_average_precision,
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_precision,
    retrieval_recall,
    retrieval_reciprocal_rank,
)

from rankloom.protocols import Build, Metric, RankedBlock
from rankloom_plugins.metrics.plugin import register_metrics

SPECS = {spec.name: spec for spec in register_metrics()}
PEERS: dict[str, Callable[..., torch.Tensor]] = {
    "ndcg": retrieval_normalized_dcg,
    "recall": retrieval_recall,
    "mrr": retrieval_reciprocal_rank,
    "hit_rate": retrieval_hit_rate,
    "precision": retrieval_precision,
    "map": retrieval_average_precision,
}


def metric(name: str) -> Metric:
    spec = SPECS[name]
    module, _, attribute = spec.target.partition(":")
    made = getattr(import_module(module), attribute)(spec.config(type=name), Build())
    assert isinstance(made, Metric)
    return made


def block(hits: list[list[int]], n_targets: list[int]) -> RankedBlock:
    found = torch.tensor(hits, dtype=torch.bool)
    items = torch.arange(found.shape[1]).expand_as(found)
    return RankedBlock(items, found, torch.tensor(n_targets))


def test_every_metric_has_a_peer_and_its_own_name() -> None:
    assert set(SPECS) == set(PEERS)
    assert all(metric(name).name == name for name in SPECS)


@pytest.mark.parametrize("name", sorted(PEERS))
@pytest.mark.parametrize("k", [1, 5, 10, 30])
def test_values_agree_with_torchmetrics(name: str, k: int) -> None:
    if name == "map" and k < 30:
        k = 30  # torchmetrics divides by the targets found; the same where all are found
    generator = torch.Generator().manual_seed(k)
    # Whole rankings of 30 items, best first; every query has at least one target.
    hits = torch.rand(60, 30, generator=generator) < torch.rand(60, 1, generator=generator) / 2
    hits[~hits.any(1), 17] = True
    scores = torch.linspace(1, 0.1, 30)
    found = metric(name).per_query(
        RankedBlock(torch.arange(30).expand(60, 30), hits, hits.sum(1)), k
    )
    expected = torch.stack([PEERS[name](scores, row, top_k=k) for row in hits])
    assert found.dtype == torch.float64
    assert found.shape == (60,)
    assert torch.allclose(found, expected.double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ndcg", [(1 / math.log2(3)) / (1 + 1 / math.log2(3)), 0.0, 1.0]),
        ("recall", [0.5, 0.0, 2 / 5]),
        ("mrr", [0.5, 0.0, 1.0]),
        ("hit_rate", [1.0, 0.0, 1.0]),
        ("precision", [0.5, 0.0, 1.0]),
        ("map", [0.25, 0.0, 1.0]),
    ],
)
def test_hand_cases_at_two(name: str, expected: list[float]) -> None:
    found = metric(name).per_query(block([[0, 1, 1], [0, 0, 1], [1, 1, 0]], [2, 1, 5]), 2)
    assert found.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("name", sorted(PEERS))
@pytest.mark.parametrize("width", [0, 1])
def test_short_lists_are_padded_with_misses(name: str, width: int) -> None:
    full = block([[1, 0, 0, 0], [0, 0, 0, 0]], [3, 1])
    short = RankedBlock(full.items[:, :width], full.hits[:, :width], full.n_targets)
    longer = metric(name).per_query(full, 4)
    if width == 0:
        longer = torch.zeros_like(longer)
    assert torch.equal(metric(name).per_query(short, 4), longer)
