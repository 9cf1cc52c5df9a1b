"""Objectives against torch, samplers against their stated law."""

from __future__ import annotations

import polars as pl
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rankloom.data.ids import IdMap
from rankloom.data.interactions import Interactions
from rankloom.data.tables import Table
from rankloom.errors import NotFittedError
from rankloom.protocols import (
    Build,
    CandidateBatch,
    History,
    Objective,
    QueryBatch,
    RaggedIndices,
    ScoreFunction,
    Scores,
    TrainBatch,
    TrainData,
)
from rankloom_plugins.objectives.bpr import BPRObjective
from rankloom_plugins.objectives.mse import MSEObjective
from rankloom_plugins.objectives.plugin import (
    BPRConfig,
    MSEConfig,
    PopularityConfig,
    SoftmaxConfig,
    UniformConfig,
    register_objectives,
)
from rankloom_plugins.objectives.samplers import PopularitySampler, UniformSampler
from rankloom_plugins.objectives.softmax import SoftmaxObjective

NAN = float("nan")


def _batch(
    targets: Tensor, values: Tensor | None = None, weights: Tensor | None = None
) -> TrainBatch:
    q = len(targets)
    none = RaggedIndices(torch.empty(0, dtype=torch.long), torch.zeros(q + 1, dtype=torch.long))
    queries = QueryBatch(torch.arange(q), History.empty(q), none, torch.zeros(q, dtype=torch.long))
    return TrainBatch(
        queries,
        targets,
        torch.full((q,), NAN) if values is None else values,
        torch.ones(q) if weights is None else weights,
    )


def _table_score(table: Tensor) -> ScoreFunction:
    """Scores looked up in ``[q, n_items]``."""
    return lambda candidates: Scores(candidates.gather(table))


def test_softmax_is_weighted_cross_entropy_and_chunks_agree() -> None:
    table = torch.randn(6, 20, requires_grad=True)
    targets = torch.tensor([3, 0, 19, 7, 7, 1])
    weights = torch.rand(6) + 0.5
    batch = _batch(targets, weights=weights).with_candidates(
        CandidateBatch(torch.arange(20)), targets
    )
    expected = (F.cross_entropy(table, targets, reduction="none") * weights).sum() / weights.sum()
    whole = SoftmaxObjective(SoftmaxConfig(), Build()).loss(batch, _table_score(table))
    tiny = SoftmaxConfig(logits_budget_mb=6 * 4 * 3 / 2**20)
    chunked = SoftmaxObjective(tiny, Build()).loss(batch, _table_score(table))
    torch.testing.assert_close(whole, expected)
    torch.testing.assert_close(chunked, expected)
    (one,) = torch.autograd.grad(whole, table)
    (other,) = torch.autograd.grad(chunked, table)
    torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_bpr_averages_over_allowed_negatives() -> None:
    table = torch.randn(3, 10)
    targets = torch.tensor([1, 2, 3])
    negatives = torch.tensor([[4, 5], [2, 6], [3, 3]])
    batch = _batch(targets, weights=torch.tensor([1.0, 3.0, 5.0])).with_candidates(
        CandidateBatch(negatives, negatives != targets[:, None]), None
    )
    first = -F.logsigmoid(table[0, 1] - table[0, [4, 5]]).mean()
    second = -F.logsigmoid(table[1, 2] - table[1, 6])
    loss = BPRObjective(BPRConfig(), Build()).loss(batch, _table_score(table))
    torch.testing.assert_close(loss, (first + 3 * second) / 4)


def test_bpr_takes_shared_negatives_and_names_missing_ones() -> None:
    table, targets = torch.randn(2, 5), torch.tensor([0, 1])
    batch = _batch(targets)
    objective = BPRObjective(BPRConfig(), Build())
    shared = batch.with_candidates(CandidateBatch(torch.tensor([3, 4])), None)
    expected = -F.logsigmoid(table.gather(1, targets[:, None]) - table[:, [3, 4]]).mean()
    torch.testing.assert_close(objective.loss(shared, _table_score(table)), expected)
    with pytest.raises(ValueError, match="negatives"):
        objective.loss(batch, _table_score(table))


def test_mse_counts_only_rows_with_a_value() -> None:
    table = torch.randn(3, 4, requires_grad=True)
    values = torch.tensor([5.0, NAN, 2.0])
    weights = torch.tensor([1.0, 9.0, 3.0])
    batch = _batch(torch.tensor([1, 0, 3]), values, weights)
    loss = MSEObjective(MSEConfig(), Build()).loss(batch, _table_score(table))
    expected = ((table[0, 1] - 5) ** 2 + 3 * (table[2, 3] - 2) ** 2) / 4
    torch.testing.assert_close(loss, expected)
    loss.backward()  # type: ignore[no-untyped-call]
    assert table.grad is not None
    assert table.grad.isfinite().all()
    assert table.grad[1].abs().sum() == 0


def _train(counts: list[int]) -> TrainData:
    items = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    n = len(items)
    zeros = torch.zeros(n, dtype=torch.long)
    log = Interactions(zeros, items, torch.ones(n), zeros, torch.arange(n))
    universe = torch.tensor(counts) > 0
    catalog = Table("item", IdMap(range(len(counts))), pl.DataFrame())
    users = Table("user", IdMap([0]), pl.DataFrame())
    return TrainData(
        log, torch.ones(n, dtype=torch.bool), catalog, users, universe, torch.tensor([True])
    )


@pytest.mark.parametrize("alpha", [None, 0.5, 1.0])
def test_samplers_draw_by_the_law_they_state(alpha: float | None) -> None:
    counts = [4, 0, 1, 9, 0, 2]
    sampler = (
        UniformSampler(UniformConfig(), Build())
        if alpha is None
        else PopularitySampler(PopularityConfig(alpha=alpha), Build())
    )
    sampler.prepare(_train(counts))
    drawn = sampler.sample(_batch(torch.tensor([3, 0])), 40_000, torch.Generator().manual_seed(5))
    assert drawn.items.shape == (2, 40_000)
    assert drawn.log_q is not None
    weights = torch.tensor([c ** (alpha or 0.0) if c else 0.0 for c in counts])
    law = weights / weights.sum()
    torch.testing.assert_close(drawn.log_q.exp(), law[drawn.items])
    seen = torch.bincount(drawn.items.reshape(-1), minlength=6) / 80_000
    assert (seen - law).abs().max() < 0.01
    assert drawn.mask is not None
    assert torch.equal(drawn.mask, drawn.items != torch.tensor([[3], [0]]))


def test_sampler_repeats_itself_and_needs_prepare() -> None:
    sampler = UniformSampler(UniformConfig(), Build())
    batch = _batch(torch.tensor([0]))
    with pytest.raises(NotFittedError, match="prepare"):
        sampler.sample(batch, 3, torch.Generator())
    sampler.prepare(_train([1, 1, 1]))
    draws = [sampler.sample(batch, 9, torch.Generator().manual_seed(2)).items for _ in range(2)]
    assert torch.equal(*draws)


def test_manifest_flags_agree_with_the_classes() -> None:
    objectives: dict[str, Objective] = {
        "softmax": SoftmaxObjective(SoftmaxConfig(), Build()),
        "bpr": BPRObjective(BPRConfig(), Build()),
        "mse": MSEObjective(MSEConfig(), Build()),
    }
    for spec in register_objectives():
        assert spec.flags["candidates"] == objectives[spec.name].candidates
        assert spec.flags["target_kind"] == objectives[spec.name].target


def test_sampled_softmax_over_everything_else_is_the_full_softmax() -> None:
    table = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([0, 4, 5])
    sampled = SoftmaxObjective(SoftmaxConfig(candidates="sampled"), Build())
    every = torch.arange(6)
    # Drawing each of the six once: each is expected 6 * (1 / 6) times.
    drawn = CandidateBatch(every, every != targets[:, None], torch.full((6,), 1 / 6).log())
    loss = sampled.loss(_batch(targets).with_candidates(drawn, None), _table_score(table))
    torch.testing.assert_close(loss, F.cross_entropy(table, targets))


def test_sampled_softmax_takes_the_law_off_the_logits() -> None:
    table = torch.zeros(1, 4)
    objective = SoftmaxObjective(SoftmaxConfig(candidates="sampled"), Build())
    drawn = CandidateBatch(torch.tensor([1, 2]), None, torch.tensor([0.1, 0.5]).log())
    batch = _batch(torch.tensor([0])).with_candidates(drawn, None)
    expected = torch.tensor(1 + 1 / (2 * 0.1) + 1 / (2 * 0.5)).log()
    torch.testing.assert_close(objective.loss(batch, _table_score(table)), expected)


def test_sampled_softmax_estimates_the_partition_without_bias() -> None:
    """The mean of exp(loss) over draws is exp(full loss): the sum it estimates is unbiased."""
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(1, 8, generator=generator)
    law = torch.rand(8, generator=generator) + 0.1
    law = law / law.sum()
    objective = SoftmaxObjective(SoftmaxConfig(candidates="sampled"), Build())
    targets = torch.tensor([2])
    ratios = []
    for _ in range(4000):
        items = torch.multinomial(law, 4, replacement=True, generator=generator)
        drawn = CandidateBatch(items, items[None] != targets[:, None], law[items].log())
        batch = _batch(targets).with_candidates(drawn, None)
        ratios.append(objective.loss(batch, _table_score(table)).exp())
    full = F.cross_entropy(table, targets).exp()
    assert float(torch.stack(ratios).mean() / full) == pytest.approx(1, abs=0.03)


def test_a_shared_sampler_draws_once_for_all_queries() -> None:
    sampler = UniformSampler(UniformConfig(shared=True), Build())
    sampler.prepare(_train([1, 1, 2, 1]))
    drawn = sampler.sample(_batch(torch.tensor([0, 3])), 50, torch.Generator().manual_seed(0))
    assert drawn.shared
    assert drawn.items.shape == (50,)
    assert drawn.mask is not None
    assert torch.equal(drawn.mask, drawn.items[None] != torch.tensor([[0], [3]]))
