"""Every component is told what docs/plugins.md says, wherever in a pipeline it stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn

from rankloom import ComponentConfig, Pipeline, component, hookimpl
from rankloom.config import EncoderRef
from rankloom.errors import PluginError
from rankloom.protocols import (
    Build,
    CandidateBatch,
    GuardBase,
    QueryBatch,
    RaggedIndices,
    Scores,
    State,
    TrainData,
)

from .conftest import MODEL

Fit = Callable[..., Pipeline]


class CountConfig(ComponentConfig):
    """Counts events, as a module with a buffer."""

    type: Literal["count"] = "count"


class Count(nn.Module):
    def __init__(self, config: CountConfig, build: Build) -> None:
        super().__init__()
        self.register_buffer("counts", torch.empty(0))

    def fit(self, train: TrainData) -> None:
        self.counts = torch.bincount(train.interactions.items, minlength=len(train.items)).float()

    def extend(self, n_items: int) -> None:
        self.counts = torch.cat([self.counts, torch.zeros(n_items - len(self.counts))])

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        return Scores(self.counts[candidates.expand(len(queries))])


class RareConfig(ComponentConfig):
    """Keeps away what fewer than ``least`` events are about."""

    type: Literal["rare"] = "rare"
    least: int = 9


class Rare(GuardBase):
    heard: ClassVar[list[str]] = []

    def __init__(self, config: RareConfig, build: Build) -> None:
        self.least = config.least
        self.rare = torch.empty(0, dtype=torch.long)

    def load(self) -> None:
        self.heard.append("load")

    def prepare(self, train: TrainData) -> None:
        self.heard.append("prepare")
        counts = torch.bincount(train.interactions.items, minlength=len(train.items))
        self.rare = (counts < self.least).nonzero()[:, 0]

    def extend(self, n_items: int) -> None:
        self.heard.append(f"extend {n_items}")

    def export_state(self) -> State:
        return State({"rare": self.rare})

    def import_state(self, state: State) -> None:
        self.rare = state.tensors["rare"]

    def exclude(self, queries: QueryBatch) -> RaggedIndices:
        return RaggedIndices.from_lists([self.rare for _ in range(len(queries))])


class SetConfig(ComponentConfig):
    """Has a state that JSON does not give back."""

    type: Literal["set"] = "set"


class Sets(GuardBase):
    state: ClassVar[Any] = None

    def __init__(self, config: SetConfig, build: Build) -> None: ...

    def export_state(self) -> Any:
        return self.state

    def import_state(self, state: State) -> None: ...


class ReadsConfig(ComponentConfig):
    """Scores by a raw field of the item."""

    type: Literal["reads"] = "reads"
    encoders: dict[str, EncoderRef]


class Reads:
    def __init__(self, config: ReadsConfig, build: Build) -> None: ...

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        there: Tensor = candidates.features("kind")["numbers"].sum(1).float()
        return Scores(there.expand(len(queries), -1))


class Zoo:
    @hookimpl
    def register_scorers(self) -> list[Any]:
        return [
            component(CountConfig, f"{__name__}:Count"),
            component(ReadsConfig, f"{__name__}:Reads"),
        ]

    @hookimpl
    def register_guards(self) -> list[Any]:
        return [component(RareConfig, f"{__name__}:Rare"), component(SetConfig, f"{__name__}:Sets")]


@pytest.fixture
def zoo(plug: Callable[[object], None]) -> None:
    plug(Zoo())


def reloaded(pipeline: Pipeline, folder: Path) -> Pipeline:
    pipeline.save(folder / "bundle")
    return Pipeline.load(folder / "bundle")


@pytest.mark.usefixtures("zoo")
def test_a_guard_learns_is_saved_and_makes_room(fit: Fit, tmp_path: Path) -> None:
    Rare.heard.clear()
    pipeline = fit(guards=["seen", "rare"])
    assert Rare.heard == ["load", "prepare"]
    assert pipeline.parts is not None
    barred = {f"i{n}" for n in pipeline.parts.guards[1].rare.tolist()}
    assert 0 < len(barred) < 30
    again = reloaded(pipeline, tmp_path)
    for one in (pipeline, again):
        assert not barred & set(one.recommend("u1", k=40))
    again.add_items([{"id": "new", "title": "A new film"}])
    assert Rare.heard[-1] == "extend 41"
    assert not barred & set(again.recommend("u1", k=41))


@pytest.mark.usefixtures("zoo")
def test_a_module_without_export_state_is_saved_by_its_state_dict(fit: Fit, tmp_path: Path) -> None:
    pipeline = fit(scorer="count")
    again = reloaded(pipeline, tmp_path)
    assert again.recommend("u1").scores == pipeline.recommend("u1").scores
    again.add_items([{"item_id": "new"}])
    assert len(again.recommend("u1", k=41)) == 41 - 12


@pytest.mark.usefixtures("zoo")
def test_a_scorer_of_raw_fields_answers_after_loading(fit: Fit, tmp_path: Path) -> None:
    scorer = {"type": "reads", "encoders": {"kind": {"type": "multi_hot", "field": "genres"}}}
    pipeline = fit(scorer="model", model={**MODEL, "scorer": scorer, "tasks": []})
    again = reloaded(pipeline, tmp_path)
    assert again.recommend("u1").scores == pipeline.recommend("u1").scores


def wrong(tensors: Any, meta: Any = None) -> State:
    return State(tensors, meta or {})


@pytest.mark.usefixtures("zoo")
@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"a": 1}, "returned dict"),
        (wrong({"a": [1]}), "'a' is list, not a tensor"),
        (wrong({}, {"a": {1, 2}}), "cannot be written as JSON"),
        (wrong({}, {1: "a"}), "would not come back"),
        (wrong({}, {"a": (1, 2)}), "would not come back"),
    ],
)
def test_a_state_that_a_bundle_would_change_is_refused(
    fit: Fit, tmp_path: Path, state: Any, reason: str
) -> None:
    pipeline = fit(guards=["set"])
    Sets.state = state
    with pytest.raises(PluginError, match=reason) as caught:
        pipeline.save(tmp_path / "bundle")
    assert "guard.0" in str(caught.value)
    assert "Sets.export_state()" in str(caught.value)


def test_checkpoints_stay_in_a_run_alone(fit: Fit, tmp_path: Path) -> None:
    alone = fit(model=MODEL, scorer="model")
    assert alone.log.fitted["model"].epochs == 1
    assert not list(alone.cache_dir.parent.glob("checkpoints/*"))
    fit(model=MODEL, scorer="model", run_dir=tmp_path / "run")
    assert list((tmp_path / "run").glob("checkpoints/*/fit/model/last.ckpt"))
