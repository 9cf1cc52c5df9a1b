"""Plugins around the stages: fit, evaluate, recommend, and what they are told."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
import torch

from rankloom import Pipeline, hookimpl
from rankloom.api import EvaluateContext, FitContext, FitLog, RecommendContext
from rankloom.errors import PluginError
from rankloom.protocols import Slates

from .conftest import MODEL

Plug = Callable[[object], None]
Fit = Callable[..., Pipeline]


class Watch:
    """Times every stage and keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        self.seconds: dict[str, float] = {}
        self.told: list[str] = []

    def _around(self, name: str, context: Any) -> Generator[None, Any, Any]:
        started = time.perf_counter()
        result = yield
        self.seconds[name] = time.perf_counter() - started
        self.seen.append((name, context))
        return result

    @hookimpl(wrapper=True)
    def fit(self, context: FitContext) -> Generator[None, Any, Any]:
        return (yield from self._around("fit", context))

    @hookimpl(wrapper=True)
    def evaluate(self, context: EvaluateContext) -> Generator[None, Any, Any]:
        return (yield from self._around("evaluate", context))

    @hookimpl(wrapper=True)
    def recommend(self, context: RecommendContext) -> Generator[None, Any, Any]:
        return (yield from self._around("recommend", context))

    @hookimpl
    def after_fit_completed(self, context: FitContext, result: FitLog) -> None:
        self.told.append("fitted")
        assert result is context.pipeline.log

    @hookimpl
    def on_fit_error(self, context: FitContext, error: BaseException) -> None:
        self.told.append(type(error).__name__)

    def names(self) -> list[str]:
        return [name for name, _ in self.seen]


def test_wrappers_see_and_time_every_stage(plug: Plug, fit: Fit, tmp_path: Any) -> None:
    watch = Watch()
    plug(watch)
    pipeline = fit(run_dir=tmp_path / "run")
    report = pipeline.evaluate(phase="validation")
    pipeline.recommend("u3", k=4)
    pipeline.recommend_all(["u1", "u2", "u4"], k=2, block=2)
    assert watch.names() == ["fit", "evaluate", "recommend", "recommend", "recommend"]
    assert all(seconds > 0 for seconds in watch.seconds.values())
    assert watch.told == ["fitted"]
    fitting, judging, asking = (context for _, context in watch.seen[:3])
    assert fitting.pipeline is pipeline
    assert fitting.dataset is pipeline.dataset
    assert fitting.run_directory == tmp_path / "run"
    assert judging.phase == "validation"
    assert [type(metric).__name__ for metric in judging.metrics]
    assert asking.k == 4
    assert asking.requests[0].user == "u3"
    assert len(asking.queries) == 1
    assert report.rows


def test_recommend_hooks_stay_out_of_training_and_evaluation(plug: Plug, fit: Fit) -> None:
    watch = Watch()
    plug(watch)
    fit(scorer={"type": "blend", "parts": ["model", "ease"]}, model=MODEL).evaluate()
    assert watch.names() == ["fit", "evaluate"]


def test_loading_runs_no_stage(plug: Plug, ease: Pipeline, tmp_path: Any) -> None:
    watch = Watch()
    bundle = ease.save(tmp_path / "bundle")
    plug(watch)
    Pipeline.load(bundle)
    assert watch.seen == []


class Fixed:
    """Answers every request itself."""

    @hookimpl
    def recommend(self, context: RecommendContext) -> Slates:
        shape = (len(context.queries), context.k)
        return Slates(torch.arange(context.k).expand(shape), torch.ones(shape), torch.zeros(shape))


def test_a_replacement_answers_instead_of_core(plug: Plug, ease: Pipeline) -> None:
    plug(Fixed())
    slate = ease.recommend("u3", k=3)
    assert ease.dataset is not None
    assert slate.items == ease.dataset.items.ids.external([0, 1, 2])
    assert slate.trace == {}
    assert ease.recommend_all(k=2)["item"].to_list()[:2] == slate.items[:2]


class Top:
    """Passes on to core for everybody but one user."""

    @hookimpl
    def recommend(self, context: RecommendContext) -> Slates | None:
        if context.requests[0].user != "u3":
            return None
        return Fixed().recommend(context)


def test_none_passes_on_to_core(plug: Plug, ease: Pipeline) -> None:
    usual = ease.recommend("u4", request_id="a")
    plug(Top())
    assert ease.recommend("u4", request_id="a").items == usual.items
    assert ease.recommend("u3").trace == {}


class Reverse:
    """Changes the report on its way out."""

    @hookimpl(wrapper=True)
    def evaluate(self, context: EvaluateContext) -> Generator[None, Any, Any]:
        report = yield
        return replace(report, warnings=["changed on the way"])


def test_a_wrapper_may_change_the_report(plug: Plug, ease: Pipeline) -> None:
    plug(Reverse())
    assert ease.evaluate().warnings == ["changed on the way"]


class Forgets:
    @hookimpl(wrapper=True)
    def evaluate(self, context: EvaluateContext) -> Generator[None, Any, None]:
        yield


def test_a_wrapper_without_return_is_named(plug: Plug, ease: Pipeline) -> None:
    plug(Forgets())
    with pytest.raises(PluginError, match="Forgets") as caught:
        ease.evaluate()
    assert "must return what it yields for" in str(caught.value)


class Raises:
    def __init__(self, *stages: str) -> None:
        self.stages = stages

    @hookimpl(wrapper=True)
    def fit(self, context: FitContext) -> Generator[None, Any, Any]:
        result = yield
        if "fit" in self.stages:
            raise RuntimeError("no disk left")
        return result

    @hookimpl(wrapper=True)
    def recommend(self, context: RecommendContext) -> Generator[None, Any, Any]:
        result = yield
        if "recommend" in self.stages:
            raise RuntimeError("no patience left")
        return result

    @hookimpl
    def after_fit_completed(self, context: FitContext, result: FitLog) -> None:
        if "after" in self.stages:
            raise RuntimeError("nobody to tell")

    @hookimpl
    def on_fit_error(self, context: FitContext, error: BaseException) -> None:
        if "error" in self.stages:
            raise RuntimeError("nor this")


def test_errors_of_wrappers_surface_and_are_told(plug: Plug, fit: Fit, ease: Pipeline) -> None:
    watch = Watch()
    plug(watch)
    plug(Raises("fit", "recommend"))
    with pytest.raises(RuntimeError, match="no disk left"):
        fit()
    assert watch.told == ["RuntimeError"]
    with pytest.raises(RuntimeError, match="no patience left"):
        ease.recommend("u3")


def test_an_error_of_a_notification_fails_the_run(plug: Plug, fit: Fit, tmp_path: Any) -> None:
    plug(Raises("after"))
    with pytest.raises(RuntimeError, match="nobody to tell"):
        fit(run_dir=tmp_path / "run")
    assert not (tmp_path / "run" / "bundle").exists()


def test_the_first_error_is_the_one_that_is_seen(plug: Plug, fit: Fit) -> None:
    plug(Raises("fit", "error"))
    with pytest.raises(RuntimeError, match="no disk left") as caught:
        fit()
    assert "nor this" in caught.value.__notes__[0]


def test_wrong_data_comes_before_the_stage(plug: Plug, items: pl.DataFrame) -> None:
    watch = Watch()
    plug(watch)
    pipeline = Pipeline.from_config({"name": "x", "scorer": "ease"})
    with pytest.raises(Exception, match="no rows"):
        pipeline.fit(items.clear().select(user="item", item="item"), progress=False)
    assert watch.seen == []
    assert watch.told == []


@pytest.mark.parametrize(("rank", "told"), [(0, ["fitted"]), (1, [])])
def test_rank_zero_alone_notifies_and_writes(
    plug: Plug, fit: Fit, tmp_path: Any, rank: int, told: list[str]
) -> None:
    from torch.testing._internal.distributed.fake_pg import FakeStore

    watch = Watch()
    plug(watch)
    torch.distributed.init_process_group("fake", store=FakeStore(), rank=rank, world_size=2)
    try:
        fit(run_dir=tmp_path / "run")
    finally:
        torch.distributed.destroy_process_group()
    assert watch.names() == ["fit"]
    assert watch.told == told
    assert (tmp_path / "run" / "bundle").exists() is (rank == 0)


def test_trace_names_who_answers(
    ease: Pipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import logging

    from rankloom.host import reset_host

    log = logging.getLogger("rankloom.trace")
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.setenv("RANKLOOM_TRACE", "1")
    reset_host()
    try:
        ease.recommend("u3")
    finally:
        reset_host()
    assert "trace: recommend(context) -> core" in capsys.readouterr().err
