"""Checks of what a plugin registers: settings, manifest, factory."""

from __future__ import annotations

import functools
import inspect
import os
import pickle
import subprocess
import sys

from pydantic import ValidationError

from rankloom import protocols
from rankloom.components import ComponentConfig, ComponentSpec
from rankloom.registry import default_registry
from rankloom.testing.compare import require
from rankloom.testing.subject import Blocked, Subject

__all__ = [
    "check_config_builds",
    "check_config_described",
    "check_config_forbids_unknown",
    "check_config_frozen",
    "check_config_pickles",
    "check_config_round_trips",
    "check_factory_builds",
    "check_manifest_light",
]

_HEAVY = ("torch", "transformers", "torchvision", "lightning")


def check_config_builds(subject: Subject) -> None:
    """Settings are valid with their defaults, or with the example that the spec gives."""
    try:
        config = subject.config()
    except ValidationError as error:
        missing = ", ".join(str(part["loc"][0]) for part in error.errors() if part["loc"])
        raise AssertionError(
            f"{subject.spec.config.__qualname__} cannot be made from its defaults ({missing}); "
            f"give defaults, or component(..., example={{...}})"
        ) from error
    require(
        config.type == subject.spec.name,
        f"type is {config.type!r}, but the component is registered as {subject.spec.name!r}",
    )


def check_config_frozen(subject: Subject) -> None:
    """Settings cannot be changed after validation."""
    config = _config(subject)
    try:
        config.type = config.type
    except ValidationError:
        return
    raise AssertionError("settings can be assigned to; keep frozen=True in model_config")


def check_config_forbids_unknown(subject: Subject) -> None:
    """A misspelt setting is an error, not ignored."""
    given = {**_config(subject).model_dump(), "no_such_setting": 1}
    try:
        subject.spec.config.model_validate(given)
    except ValidationError:
        return
    raise AssertionError("an unknown setting is accepted; keep extra='forbid' in model_config")


def check_config_round_trips(subject: Subject) -> None:
    """Settings survive JSON, which is how a bundle keeps them."""
    config = _config(subject)
    again = subject.spec.config.model_validate_json(config.model_dump_json())
    require(again == config, f"after JSON the settings are {again!r}, before they were {config!r}")


def check_config_described(subject: Subject) -> None:
    """The class and each of its own settings have a docstring; the JSON Schema shows it."""
    config = subject.spec.config
    require(bool((config.__doc__ or "").strip()), f"{config.__qualname__} has no docstring")
    bare = [
        name
        for name, field in config.model_fields.items()
        if name != "type" and not (field.description or "").strip()
    ]
    require(not bare, f"settings without a docstring under them: {', '.join(bare)}")


def check_config_pickles(subject: Subject) -> None:
    """Settings travel to worker processes."""
    config = _config(subject)
    require(pickle.loads(pickle.dumps(config)) == config, "settings differ after pickling")


def check_manifest_light(subject: Subject) -> None:
    """Importing the module of the settings loads no heavy library.

    A single file given by hand (``--plugin my.py``) is read only when it is asked for, and may hold
    settings and implementation together.
    """
    if _single_file(subject.spec):
        return
    loaded = _loads(subject.spec.config.__module__)
    require(
        not loaded,
        f"importing {subject.spec.config.__module__} loads {', '.join(loaded)}; name the "
        f"implementation as 'module:Class' and import heavy libraries there",
    )


def _single_file(spec: ComponentSpec) -> bool:
    by_hand = {one.name for one in default_registry().host.plugins() if not one.distribution}
    return spec.plugin in by_hand and spec.target.partition(":")[0] == spec.config.__module__


def check_factory_builds(subject: Subject) -> None:
    """``target`` resolves, ``Class(config, build)`` works, and the result keeps its contract."""
    _config(subject)
    try:
        component = subject.learned()
    except Blocked:
        raise
    except Exception as error:
        raise AssertionError(
            f"{subject.spec.target}(config, build), load, prepare, fit, calibrate: "
            f"{type(error).__name__}: {error}"
        ) from error
    contract = protocols.HistoryEncoder if subject.history else _contract(subject.spec.kind)
    wanted = [name for name in _members(contract) if not hasattr(component, name)]
    require(not wanted, f"{type(component).__qualname__} lacks {', '.join(wanted)}")
    if hasattr(component, "dim") and subject.spec.kind in ("encoder", "fusion"):
        dim = component.dim
        require(isinstance(dim, int) and dim > 0, f"dim must be a positive int, it is {dim!r}")


def _config(subject: Subject) -> ComponentConfig:
    try:
        return subject.config()
    except ValidationError as error:
        raise Blocked(f"the settings cannot be made: {error}") from error


def _contract(kind: str) -> type:
    contract: type = getattr(protocols, kind.capitalize())
    return contract


def _members(contract: type) -> list[str]:
    names = [name for name in vars(contract) if not name.startswith("_")]
    return [*names, *inspect.get_annotations(contract)]


@functools.cache
def _loads(module: str) -> tuple[str, ...]:
    """Return which heavy libraries a fresh process loads when it imports ``module``."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return ()  # defined in a notebook, where nothing is imported
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location({module!r}, {file!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        f"sys.modules[{module!r}] = module\n"
        "spec.loader.exec_module(module)\n"
        f"print(*[name for name in {_HEAVY!r} if name in sys.modules])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise AssertionError(f"importing {module} alone fails: {done.stderr.strip()[-300:]}")
    return tuple(done.stdout.split())
