"""The scorers ``dot`` and ``model``."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

from rankloom.data.ids import IdMap
from rankloom.data.interactions import Interactions
from rankloom.data.tables import Table
from rankloom.errors import ConfigError
from rankloom.protocols import (
    Build,
    CandidateBatch,
    Encoded,
    History,
    QueryBatch,
    RaggedIndices,
    Scores,
    TrainData,
)
from rankloom_plugins.scorers.dot import Dot
from rankloom_plugins.scorers.model import ModelScorer
from rankloom_plugins.scorers.plugin import DotConfig, ModelConfig, register_scorers

USERS = torch.tensor([2, -1, 9])


def vectors(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def queries(encoded: Tensor | None) -> QueryBatch:
    n = len(USERS)
    return QueryBatch(
        USERS,
        History.empty(n),
        RaggedIndices.from_lists([[]] * n),
        torch.zeros(n, dtype=torch.long),
        None if encoded is None else Encoded(encoded),
    )


def dot(**settings: Any) -> Dot:
    return Dot(DotConfig(**settings), Build(n_users=4, n_items=5))


def values(scorer: Dot, items: Tensor, encoded: Tensor) -> Tensor:
    candidates = CandidateBatch(items, encoded=Encoded(encoded))
    return scorer.score(queries(vectors(3, 6)), candidates).values


def test_shared_and_own_candidates_agree() -> None:
    items, encoded = torch.tensor([0, 4, 2, 7]), vectors(4, 6)
    for scorer in (dot(), dot(cosine=True, temperature=0.1)):
        shared = values(scorer, items, encoded)
        own = values(scorer, items.expand(3, -1), encoded.expand(3, -1, -1))
        torch.testing.assert_close(shared, own)


def test_values_against_numpy() -> None:
    q, i = vectors(3, 6).numpy(), vectors(4, 6).numpy()
    plain = values(dot(temperature=2.0), torch.arange(4), vectors(4, 6))
    np.testing.assert_allclose(plain.numpy(), q @ i.T / 2.0, rtol=1e-5)
    cosine = values(dot(cosine=True), torch.arange(4), vectors(4, 6))
    norms = np.outer(np.linalg.norm(q, axis=1), np.linalg.norm(i, axis=1))
    np.testing.assert_allclose(cosine.numpy(), q @ i.T / norms, rtol=1e-5)


def test_biases_are_added_and_zero_for_the_unknown() -> None:
    scorer = dot(user_bias=True, item_bias=True, global_bias=True)
    assert scorer.user_bias is not None
    assert scorer.item_bias is not None
    assert scorer.global_bias is not None
    items, encoded = torch.tensor([0, -1, 4, 5]), vectors(4, 6)
    base = values(dot(), items, encoded)
    torch.testing.assert_close(values(scorer, items, encoded), base)
    with torch.no_grad():
        scorer.user_bias.weight[1:] = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
        scorer.item_bias.weight[1:] = torch.tensor([[10.0], [20.0], [30.0], [40.0], [50.0]])
        scorer.global_bias.fill_(100.0)
    user = torch.tensor([3.0, 0.0, 0.0])  # user 2; unknown; beyond the table
    item = torch.tensor([10.0, 0.0, 50.0, 0.0])  # item 0; padding; item 4; beyond the table
    expected = base + user[:, None] + item + 100.0
    torch.testing.assert_close(values(scorer, items, encoded), expected)
    own = values(scorer, items.expand(3, -1), encoded.expand(3, -1, -1))
    torch.testing.assert_close(own, expected)


def test_the_slot_of_the_unknown_never_learns() -> None:
    scorer = dot(user_bias=True, item_bias=True)
    values(scorer, torch.tensor([-1, 5, 3]), vectors(3, 6)).sum().backward()
    for table, touched in ((scorer.user_bias, 3), (scorer.item_bias, 4)):
        assert table is not None
        assert table.weight.grad is not None
        assert table.weight.grad.flatten().nonzero().flatten().tolist() == [touched]


def test_temperature_learns_and_stays_bounded() -> None:
    scorer = dot(cosine=True, temperature=0.2, learnable_temperature=True)
    fixed = dot(cosine=True, temperature=0.2)
    asked = (torch.arange(4), vectors(4, 6))
    torch.testing.assert_close(values(scorer, *asked), values(fixed, *asked))
    values(scorer, *asked).square().sum().backward()
    assert scorer.log_scale is not None
    assert scorer.log_scale.grad is not None
    assert float(scorer.log_scale.grad) != 0.0
    with torch.no_grad():
        scorer.log_scale.fill_(50.0)
    assert float(values(scorer, *asked).detach().abs().max()) <= 100.0 + 1e-3
    assert not list(fixed.parameters())
    assert not fixed.state_dict()


def train(ratings: list[float]) -> TrainData:
    n = len(ratings)
    index = torch.arange(n)
    log = Interactions(index, index, torch.tensor(ratings), index, index)
    tables = [Table(side, IdMap(range(n)), pl.DataFrame()) for side in ("item", "user")]
    every = torch.ones(n, dtype=torch.bool)
    return TrainData(log, every, tables[0], tables[1], every, every)


def test_global_bias_starts_at_the_mean_of_the_values() -> None:
    scorer = dot(global_bias=True)
    assert scorer.global_bias is not None
    scorer.prepare(train([float("nan")] * 2))
    assert float(scorer.global_bias.detach()) == 0.0
    scorer.prepare(train([1.0, 4.0, float("nan"), 5.0]))
    assert float(scorer.global_bias.detach()) == pytest.approx(10 / 3)
    dot().prepare(train([1.0]))


def test_unequal_towers_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match="queries have 8 and items have 6"):
        Dot(DotConfig(), Build(dims={"query": 8, "items": 6}))
    Dot(DotConfig(), Build(dims={"query": 8, "items": 8}))


def test_missing_vectors_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match="needs query and item vectors"):
        dot().score(queries(None), CandidateBatch(torch.arange(2)))


def test_state_dict_round_trip() -> None:
    first = dot(user_bias=True, item_bias=True, global_bias=True, learnable_temperature=True)
    with torch.no_grad():
        for parameter in first.parameters():
            nn.init.normal_(parameter) if parameter.dim() else parameter.fill_(0.3)
    second = dot(user_bias=True, item_bias=True, global_bias=True, learnable_temperature=True)
    second.load_state_dict(first.state_dict())
    asked = (torch.arange(4), vectors(4, 6))
    torch.testing.assert_close(values(second, *asked), values(first, *asked))


class Constant:
    """A model whose scores are all ``value``."""

    def __init__(self, value: float) -> None:
        self.value = value

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        return Scores(torch.full((len(queries), candidates.width), self.value), "rating")


def test_model_delegates_by_name_and_task() -> None:
    models = {("seq", None): Constant(1.0), ("seq", "mse"): Constant(2.0)}
    build = Build(model=lambda name, task: models[name or "seq", task])
    for config, value in ((ModelConfig(name="seq"), 1.0), (ModelConfig(task="mse"), 2.0)):
        scores = ModelScorer(config, build).score(queries(None), CandidateBatch(torch.arange(4)))
        assert scores.scale == "rating"
        assert torch.equal(scores.values, torch.full((3, 4), value))


def test_model_without_models_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"model 'seq'.*no models.*Add one under 'models:'"):
        ModelScorer(ModelConfig(name="seq"), Build())


def test_manifest_capabilities() -> None:
    specs = {spec.name: spec for spec in register_scorers()}
    assert set(specs) == {"dot", "model", "blend", "ridge_map"}
    assert specs["dot"].inner_product
    assert specs["dot"].needs_vectors
    assert specs["dot"].flags == {"catalog": True}
    assert not specs["blend"].needs_vectors
