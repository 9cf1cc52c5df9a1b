"""What the specs of scorers ask of the models that hold them, from config to scores."""

from __future__ import annotations

import runpy
import types
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import nn

from rankloom import ComponentConfig, component, hookimpl
from rankloom.api.fitting import train_data
from rankloom.config import TrainingConfig, load_config
from rankloom.config.refs import EncoderRef
from rankloom.data.dataset import Dataset
from rankloom.errors import ConfigError
from rankloom.host import Host
from rankloom.host.find import Found, find_installed
from rankloom.pipeline.builder import Builder, Parts
from rankloom.protocols import Build, CandidateBatch, QueryBatch, Scores
from rankloom.registry import Registry
from rankloom.testing import World, make_world
from rankloom.training.feeds import Batches, PairFeed
from rankloom.training.model_loss import ModelLoss
from rankloom.training.run import run

DIN = runpy.run_path(str(Path(__file__).parents[2] / "protocol" / "case_din.py"))["Din"]


class DinConfig(ComponentConfig):
    """The sketch's attention, as a plugin brings it."""

    type: Literal["din_test"] = "din_test"


class ReadsConfig(ComponentConfig):
    """A scorer that reads raw fields."""

    type: Literal["reads_test"] = "reads_test"
    encoders: dict[str, EncoderRef]


def din(config: DinConfig, build: Build) -> nn.Module:
    """Build the sketch as core builds a scorer."""
    made: nn.Module = DIN(build.dims["items"], 5)
    return made


class Reads(nn.Module):
    def __init__(self, config: ReadsConfig, build: Build) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        n = candidates.width
        kinds = candidates.features("kind").present.float().view(-1, n).expand(len(queries), -1)
        ages = queries.features("age").present.float()[:, None]
        return Scores(self.scale * (kinds + 10 * ages), "logit")


@pytest.fixture(scope="module")
def registry() -> Registry:
    plugin = types.ModuleType("din_plugin")
    vars(plugin)["register_scorers"] = hookimpl(
        lambda: [
            component(DinConfig, f"{__name__}:din", needs="tokens", needs_vectors=True),
            component(ReadsConfig, f"{__name__}:Reads"),
        ]
    )
    found = Found("din", "test", "1", "din", lambda: plugin)
    return Registry(Host.load(installed=[*find_installed(), found]))


@pytest.fixture
def world() -> World:
    return make_world()


def _built(world: World, registry: Registry, scorer: Any, **more: Any) -> Parts:
    model = {
        "items": {"encoders": {"id": {"type": "embedding", "dim": 8}}},
        "queries": {"encoders": {"history": {"type": "sasrec", "max_length": 5}}},
        "scorer": scorer,
        "tasks": ["bpr"],
    }
    config = load_config({"name": "t", "models": {"m": model}, **more}, registry=registry)
    parts = Builder(config, registry, world.items, world.users, Path(), Path(".unused")).build()
    made = parts.models["m"]
    own = made.scorer_fields.values()
    encoders = [*made.items.encoders.values(), *(e for f in own for e in f.encoders.values())]
    for one in [*encoders, *(task.sampler for task in made.tasks)]:
        if hasattr(one, "prepare"):
            one.prepare(world.train)
    parts.tables["m"].load(world.items, None)
    parts.query_fields.load(world.users, None)
    return parts


def test_din_trains_and_answers_from_config(
    world: World, registry: Registry, tmp_path: Path
) -> None:
    """``needs="tokens"`` on the spec: towers carry tokens, and the model trains on pairs."""
    parts = _built(world, registry, "din_test")
    model, table, handle = parts.models["m"], parts.tables["m"], parts.handles["m"]
    assert model.items.tokens
    assert model.queries.tokens
    assert not model.causal
    dot = _built(world, registry, "dot").models["m"]
    assert (dot.items.tokens, dot.causal) == (False, True)
    dataset = Dataset(world.items, world.users, world.train.interactions, world.train.positive)
    train = train_data(dataset, torch.arange(len(world.train.interactions)), 0)
    feed = PairFeed(train, parts.query_fields, "before", False)
    settings = TrainingConfig(epochs=2, batch_size=8, learning_rate=0.01)
    before = model.scorer().output[0].weight.clone()
    loss = ModelLoss(model, table, train.universe)
    options = {"accelerator": "cpu", "devices": 1}
    run(model, loss, Batches(feed, 8, 0), settings, options, tmp_path, progress=False)
    assert not torch.equal(model.scorer().output[0].weight, before)
    table.refresh()
    scores = handle.score(world.queries, world.candidates())
    assert scores.values[:5, :10].isfinite().all()
    assert scores.values[5].isnan().all()


def test_scorer_with_encoders_gets_their_features(world: World, registry: Registry) -> None:
    encoders = {"kind": {"type": "category"}, "age": {"type": "number", "field": "user.age"}}
    parts = _built(world, registry, {"type": "reads_test", "encoders": encoders})
    parts.tables["m"].refresh()
    queries = parts.query_fields.attach(world.queries)
    assert {"m.scorer.model.age"} == set(queries.fields)
    values = parts.handles["m"].score(queries, world.candidates()).values
    kinds = torch.tensor([kind is not None for kind in world.items.values("kind")]).float()
    ages = torch.tensor([age is not None for age in world.users.values("age")]).float()
    known = ~values.isnan()
    expected = kinds + 10 * ages[:, None]
    assert known[:5, :10].all()
    assert torch.equal(values[known], expected[known])
    keys = [key for key, _ in parts.components()]
    assert {"m.scorer.model.kind", "m.scorer.model.age"} <= set(keys)


def test_raw_fields_outside_a_model_are_refused(world: World, registry: Registry) -> None:
    scorer = {"type": "reads_test", "encoders": {"kind": {"type": "category"}}}
    config = load_config({"name": "t", "scorer": scorer}, registry=registry)
    builder = Builder(config, registry, world.items, world.users, Path(), Path(".unused"))
    with pytest.raises(ConfigError, match=r"Put it under models\.NAME\.scorer"):
        builder.build()
