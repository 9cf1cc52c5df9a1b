from __future__ import annotations

import subprocess
import sys
import types
from typing import Any, Literal

import pytest

from rankloom import ComponentConfig, component, hookimpl
from rankloom.errors import ConfigError, MissingExtraError, PluginError
from rankloom.host import Found, Host
from rankloom.registry import Registry


class AConfig(ComponentConfig):
    """A."""

    type: Literal["alpha"] = "alpha"


class BConfig(ComponentConfig):
    """B."""

    type: Literal["beta"] = "beta"


def registry(target: str = "math:floor", distribution: str = "rankloom", **more: Any) -> Registry:
    plugin = types.ModuleType("p")
    vars(plugin)["register_scorers"] = hookimpl(
        lambda: [component(AConfig, target, **more), component(BConfig, target)]
    )
    broken = Found("broken", "b", "1", "b", lambda: 1 / 0)
    made = Found("p", distribution, "1", "p", lambda: plugin)
    return Registry(Host.load(installed=[made, broken]))


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(ConfigError) as caught:
        registry().get("scorer", "alfa")
    assert str(caught.value) == (
        "Unknown scorer 'alfa'. Did you mean 'alpha'? Installed: alpha, beta. "
        "Plugins that failed to load: broken (see `rankloom plugins list`). "
        "Plugin 'broken' (b 1, b) failed to import: ZeroDivisionError: division by zero. Repair or "
        "uninstall it, or disable it with RANKLOOM_DISABLE_PLUGINS=broken."
    )
    with pytest.raises(ConfigError, match=r"No policy is installed.*'alpha' is a scorer"):
        registry().get("policy", "alpha")
    with pytest.raises(LookupError, match="no kind 'scorers'"):
        registry().specs("scorers")


def test_lookup_by_config() -> None:
    made = registry()
    assert [spec.name for spec in made.specs("scorer")] == ["alpha", "beta"]
    assert made.of(AConfig()) is made.get("scorer", "alpha")
    assert made.of(AConfig(), "policy") is None


@pytest.mark.parametrize(
    "target", ["nowhere_at_all.x:Y", "math:nothing", "rankloom.errors:Absent.x"]
)
def test_targets_that_do_not_import(target: str) -> None:
    made = registry(target)
    with pytest.raises(PluginError, match="scorer 'alpha' of plugin 'p': cannot import"):
        made.implementation(made.get("scorer", "alpha"))


def test_a_missing_extra_has_its_pip_command(tmp_path: Any, monkeypatch: Any) -> None:
    (tmp_path / "needs_absent.py").write_text("import absent_package\nclass X: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    made = registry("needs_absent:X", extras=["vision"])
    with pytest.raises(MissingExtraError, match=r"'absent_package'.*rankloom\[vision\]"):
        made.implementation(made.get("scorer", "alpha"))
    other = registry("needs_absent:X", "acme", extras=["gpu"])
    with pytest.raises(ConfigError, match=r"pip install 'acme\[gpu\]'"):
        other.implementation(other.get("scorer", "alpha"))


def test_extras_are_checked_without_importing(monkeypatch: pytest.MonkeyPatch) -> None:
    requires = ["torch>=2", "no-such-thing>=1; extra == 'vision'", "numpy; extra == 'text'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda distribution: requires)
    made = registry(extras=["vision"])
    with pytest.raises(MissingExtraError, match="no-such-thing"):
        made.check_extras(made.get("scorer", "alpha"))
    fine = registry(extras=["text"])
    fine.check_extras(fine.get("scorer", "alpha"))


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, rankloom\n"
        "from rankloom.host import get_host\n"
        "from rankloom.config import load_config\n"
        "assert get_host().plugins()\n"
        "load_config({'name': 'x', 'scorer': 'popularity'})\n"
        "heavy = {'torch', 'transformers', 'torchvision', 'lightning'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
