from __future__ import annotations

import dataclasses
import json
import types
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import create_model

import rankloom.host.default as default
import rankloom.host.facade as facade
from rankloom import ComponentConfig, component, hookimpl
from rankloom.components import KINDS
from rankloom.errors import ConfigError, PluginError
from rankloom.hookspecs import HOOK_OF_KIND
from rankloom.host import Found, Host, add_plugin_file, get_host, register, reset_host
from rankloom.registry import Registry, default_registry


class OneConfig(ComponentConfig):
    """First scorer."""

    type: Literal["acme.one"] = "acme.one"


class TwoConfig(ComponentConfig):
    """Second scorer."""

    type: Literal["acme.two"] = "acme.two"


def module(**functions: Any) -> types.ModuleType:
    made = types.ModuleType("made")
    vars(made).update({name: hookimpl(value) for name, value in functions.items()})
    return made


def scorers(*configs: type[ComponentConfig]) -> types.ModuleType:
    return module(register_scorers=lambda: [component(one, "math:floor") for one in configs])


def found(name: str, plugin: Any, distribution: str = "dist") -> Found:
    def load() -> Any:
        if isinstance(plugin, BaseException):
            raise plugin
        return plugin

    return Found(name, distribution, "1.0", f"{name}.plugin", load)


def names(host: Host) -> list[str]:
    return [spec.name for spec in host.components()]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> Any:
    for variable in ("RANKLOOM_DISABLE_PLUGINS", "RANKLOOM_PLUGINS", "RANKLOOM_TRACE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(default, "_host", None)
    yield
    reset_host()


def test_one_bad_plugin_leaves_the_others() -> None:
    host = Host.load(
        installed=[
            found("good", scorers(OneConfig)),
            found("bad", ImportError("no x"), "bad-dist"),
            found("exits", SystemExit(3)),
        ]
    )
    assert names(host) == ["acme.one"]
    assert [one.plugin for one in host.problems] == ["bad", "exits"]
    assert "bad-dist 1.0" in host.problems[0].message
    assert "ImportError: no x" in host.problems[0].message
    assert "RANKLOOM_DISABLE_PLUGINS=bad" in host.problems[0].message


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        (module(register_scorer=lambda: []), "Did you mean 'register_scorers'?"),
        (module(register_scorers=lambda wrong: []), "wrong"),
        (module(register_scorers=lambda: [3]), "rankloom.component()"),
        (module(register_scorers=lambda: 1 / 0), "ZeroDivisionError"),
        (scorers(OneConfig, OneConfig), "'acme.one' twice"),
        (module(register_encoders=lambda: [component(OneConfig, "a:b")]), "EncoderConfig"),
        (types.ModuleType("empty"), "implements no hook"),
    ],
)
def test_wrong_plugins_are_refused_with_a_reason(plugin: Any, words: str) -> None:
    host = Host.load(installed=[found("acme", plugin)])
    assert names(host) == []
    [problem] = host.problems
    assert words in problem.message
    assert "'acme' (dist 1.0" in problem.message


def test_a_forgotten_marker_is_named() -> None:
    plugin = types.ModuleType("forgot")
    vars(plugin)["register_scorers"] = lambda: []
    [problem] = Host.load(installed=[found("acme", plugin)]).problems
    assert "put @hookimpl above it" in problem.message


def test_plugins_of_one_name_are_both_refused_unless_one_is_built_in() -> None:
    one, two = found("x", scorers(OneConfig), "a"), found("x", scorers(TwoConfig), "b")
    host = Host.load(installed=[one, two])
    assert names(host) == []
    assert all("a 1.0" in p.message and "b 1.0" in p.message for p in host.problems)
    built_in = dataclasses.replace(one, distribution="rankloom")
    assert names(Host.load(installed=[built_in, two])) == ["acme.one"]


def test_a_component_name_taken_twice() -> None:
    third = [found("a", scorers(OneConfig, TwoConfig), "a"), found("b", scorers(OneConfig), "b")]
    host = Host.load(installed=third)
    assert names(host) == ["acme.two"]
    with pytest.raises(ConfigError, match=r"'a' \(a 1.0\) and 'b' \(b 1.0\)"):
        Registry(host).get("scorer", "acme.one")
    built_in = [dataclasses.replace(third[0], distribution="rankloom"), third[1]]
    host = Host.load(installed=built_in)
    assert names(host) == ["acme.one", "acme.two"]
    assert [one.plugin for one in host.problems] == ["b"]


def test_environment_variables_select(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [found("a", scorers(OneConfig)), found("b", scorers(TwoConfig))]
    monkeypatch.setenv("RANKLOOM_DISABLE_PLUGINS", "a, bb")
    host = Host.load(installed=both)
    assert names(host) == ["acme.two"]
    assert [(one.name, one.disabled) for one in host.plugins()] == [("b", False), ("a", True)]
    assert "'bb', which is not installed. Did you mean 'b'?" in host.problems[0].message
    monkeypatch.setenv("RANKLOOM_DISABLE_PLUGINS", "")
    monkeypatch.setenv("RANKLOOM_PLUGINS", "a")
    assert names(Host.load(installed=both)) == ["acme.one"]


def test_nothing_installed_asks_whether_rankloom_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facade, "find_installed", list)
    with pytest.raises(PluginError, match="pip install -e"):
        Host.load()


def test_stages_wrap_and_core_comes_last() -> None:
    calls = []

    def wrapped(context: Any) -> Any:
        calls.append("before")
        result = yield
        calls.append("after")
        return result + 1

    plugin = types.ModuleType("w")
    vars(plugin)["fit"] = hookimpl(wrapper=True)(wrapped)
    host = Host.load([plugin], installed=[])
    assert host.call_stage("fit", 1, lambda context: context + 10) == 12
    assert calls == ["before", "after"]
    assert host.plugins()[0].wraps == ("fit",)
    replaced = Host.load([module(fit=lambda context: "mine")], installed=[])
    assert replaced.call_stage("fit", 1, lambda context: "core") == "mine"
    assert replaced.call_stage("evaluate", 1, lambda context: "core") == "core"
    with pytest.raises(LookupError, match="no stage 'fitt'"):
        host.call_stage("fitt", 1, lambda context: 0)


def test_stages_nest_and_pass_errors_on() -> None:
    host = Host.load(installed=[])

    def nested(context: Any) -> Any:
        return host.call_stage("evaluate", context, lambda context: "inner")

    assert host.call_stage("fit", 0, nested) == "inner"
    with pytest.raises(ZeroDivisionError):
        host.call_stage("fit", 0, lambda context: 1 / 0)


def test_notifications_reach_every_plugin() -> None:
    told: list[Any] = []
    plugin = module(after_fit_completed=lambda context, result: told.append((context, result)))
    host = Host.load([plugin], installed=[])
    host.notify("after_fit_completed", context=1, result=2)
    assert told == [(1, 2)]
    with pytest.raises(LookupError):
        host.notify("fit", context=1)


def test_trace_logs_calls(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import logging

    monkeypatch.setenv("RANKLOOM_TRACE", "1")
    host = Host.load(installed=[])
    log = logging.getLogger("rankloom.trace")
    monkeypatch.setattr(log, "handlers", [caplog.handler])
    host.call_stage("fit", 1, lambda context: 3)
    assert caplog.messages == ["fit(context) -> core", "fit returned int"]


def test_infos_are_json() -> None:
    host = Host.load(installed=[found("a", scorers(OneConfig))])
    [info] = json.loads(json.dumps([dataclasses.asdict(one) for one in host.plugins()]))
    assert info["components"][0]["name"] == "acme.one"
    assert info["components"][0]["summary"] == "First scorer."
    assert info["hooks"] == ["register_scorers"]


def test_every_kind_has_its_hook() -> None:
    assert list(HOOK_OF_KIND) == list(KINDS)


class Notebook:
    @hookimpl
    def register_scorers(self) -> list[Any]:
        return [component(OneConfig, "math:floor")]


def test_register_replaces_and_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default, "_host", Host.load(installed=[]))
    load = Host.load
    monkeypatch.setattr(Host, "load", lambda extra=(): load(extra, installed=[]))
    register(Notebook())
    before = default_registry()
    assert before.get("scorer", "acme.one").plugin == "Notebook"
    register(Notebook())
    assert [one.name for one in get_host().plugins()] == ["Notebook"]
    assert default_registry() is not before
    with pytest.raises(PluginError, match="forgotten the \\(\\)"):
        register(Notebook)
    with pytest.raises(PluginError, match="no hook"):
        register(types.ModuleType("nothing"))
    assert [one.name for one in get_host().plugins()] == ["Notebook"]


PLUGIN = '''
from typing import Literal
from rankloom import ComponentConfig, component, hookimpl

class C(ComponentConfig):
    """Mine."""
    type: Literal["mine"] = "mine"

class Scorer:
    def __init__(self, config, build):
        self.built = (config, build)

@hookimpl
def register_scorers():
    return [component(C, "plugin_in_a_file:Scorer")]
'''


def test_a_plugin_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default, "_host", Host.load(installed=[]))
    load = Host.load
    monkeypatch.setattr(Host, "load", lambda extra=(): load(extra, installed=[]))
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "plugin_in_a_file.py"
    path.write_text(PLUGIN)
    add_plugin_file(path)
    registry = default_registry()
    spec = registry.get("scorer", "mine")
    build: Any = object()
    config = spec.config(type="mine")
    assert registry.build("scorer", config, build).built == (config, build)
    register(Notebook())  # does not execute the file again
    assert default_registry().get("scorer", "mine").config is spec.config
    with pytest.raises(PluginError, match="no plugin file"):
        add_plugin_file(tmp_path / "absent.py")
    (tmp_path / "broken_file_plugin.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(PluginError, match="nothing_of_that_name"):
        add_plugin_file(tmp_path / "broken_file_plugin.py")
    (tmp_path / "types.py").write_text(PLUGIN)
    with pytest.raises(PluginError, match="already imported"):
        add_plugin_file(tmp_path / "types.py")


def test_one_object_under_two_names_is_loaded_once() -> None:
    plugin = scorers(OneConfig)
    host = Host.load(installed=[found("a", plugin), found("b", plugin, "other")])
    assert names(host) == ["acme.one"]
    assert "same object as the plugin 'a'" in host.problems[0].message


def test_whatever_a_plugin_does_while_it_is_read_stays_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def leaves() -> list[Any]:
        raise SystemExit("bye")

    def prints() -> list[Any]:
        print("hello")
        return [component(OneConfig, "math:floor")]

    class Touchy:
        @property
        def state(self) -> int:
            raise RuntimeError("not ready")

        @hookimpl
        def register_scorers(self) -> list[Any]:
            return [component(TwoConfig, "math:floor")]

    host = Host.load(
        installed=[
            found("a", module(register_scorers=leaves)),
            found("b", module(register_scorers=prints)),
            found("c", Touchy()),
            found("d", module(register_scorers=lambda: None)),
            found("e", module(register_scorers=lambda: component(OneConfig, "math:floor"))),
        ]
    )
    assert names(host) == ["acme.one", "acme.two"]
    problems = {problem.plugin: problem.message for problem in host.problems}
    assert "SystemExit: bye" in problems["a"]
    assert "is there a return?" in problems["d"]
    assert "return a list of components" in problems["e"]
    assert capsys.readouterr().out == ""


#: Names a type that is nowhere.
UnfinishedConfig = create_model(
    "UnfinishedConfig",
    __base__=ComponentConfig,
    type=(Literal["acme.unfinished"], "acme.unfinished"),
    other=("Nowhere", None),
)

#: Has another default than its literal.
OtherNameConfig = create_model(
    "OtherNameConfig", __base__=ComponentConfig, type=(Literal["acme.this"], "acme.that")
)


def test_a_config_that_is_not_complete_is_refused() -> None:
    host = Host.load(
        installed=[found("a", scorers(UnfinishedConfig)), found("b", scorers(OneConfig))]
    )
    assert names(host) == ["acme.one"]
    assert "UnfinishedConfig, is not complete" in host.problems[0].message


@pytest.mark.parametrize(
    ("config", "capabilities", "reason"),
    [
        (OneConfig, {"modalty": "text"}, "no capability 'modalty'. Did you mean 'modality'?"),
        (OneConfig, {"modality": "video"}, "modality='video' is none of"),
        (OneConfig, {"side": "histroy"}, "side='histroy' is none of"),
        (OneConfig, {"needs": "token"}, "needs='token' is none of"),
        (OneConfig, {"extras": "wiz"}, r"extras=\['wiz'\]"),
        (OtherNameConfig, {}, "its default is 'acme.that'"),
        (dict, {}, "must inherit rankloom.ComponentConfig"),
    ],
)
def test_a_component_that_is_described_wrongly(config: Any, capabilities: Any, reason: str) -> None:
    with pytest.raises(PluginError, match=reason):
        component(config, "math:floor", **capabilities)
