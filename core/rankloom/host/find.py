"""Step one: which plugins there are. Nothing is imported here."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from rankloom.errors import PluginError
from rankloom.hookspecs import PROJECT

__all__ = ["GROUP", "Found", "find_extra", "find_installed"]

#: The entry-point group of built-in and third-party plugins alike.
GROUP = f"{PROJECT}.plugins"


#: The names of built-in plugins that bring commands end so.
COMMANDS = "_commands"


@dataclass(frozen=True)
class Found:
    """A plugin that has been found and not yet imported.

    Attributes:
        name: What it is called in messages and environment variables.
        distribution: The distribution that installed it; empty where it was given by hand.
        version: Version of the distribution.
        target: Module, file or object that holds the hooks.
        load: Imports it.
    """

    name: str
    distribution: str
    version: str
    target: str
    load: Callable[[], Any]

    @property
    def built_in(self) -> bool:
        """True if Rankloom itself brings it."""
        return self.distribution == PROJECT

    @property
    def may_bring_commands(self) -> bool:
        """False for a built-in that is known to bring none: those that do are named so."""
        return not self.built_in or self.name.endswith(COMMANDS)

    @property
    def origin(self) -> str:
        """``distribution version``, or the target where there is no distribution."""
        return f"{self.distribution} {self.version}" if self.distribution else self.target

    def __str__(self) -> str:
        inside = f"{self.origin}, {self.target}" if self.distribution else self.target
        return f"Plugin {self.name!r} ({inside})"


def find_installed() -> list[Found]:
    """Return the plugins that installed distributions announce, built-ins first, then by name.

    A distribution that is seen twice (two metadata folders of an editable install) counts once.
    """
    found: dict[tuple[str, str, str], Found] = {}
    for point in importlib.metadata.entry_points(group=GROUP):
        dist = point.dist
        distribution, version = (dist.name, dist.version) if dist else ("unknown", "")
        key = (point.name, distribution, point.value)
        found.setdefault(key, Found(point.name, distribution, version, point.value, point.load))
    return sorted(
        found.values(), key=lambda one: (not one.built_in, one.name, one.distribution, one.target)
    )


def find_extra(source: str | Path | ModuleType | object) -> Found:
    """Describe a plugin given by hand.

    Args:
        source: Path of a Python file, name of a module, a module, or an object with hook methods.

    Raises:
        PluginError: The file is not there, or a class was given instead of an instance.
    """
    if isinstance(source, Found):
        return source
    if isinstance(source, Path) or (isinstance(source, str) and source.endswith(".py")):
        return _from_file(Path(source))
    if isinstance(source, str):
        return Found(
            source.rpartition(".")[2], "", "", source, lambda: importlib.import_module(source)
        )
    if inspect.isclass(source):
        raise PluginError(
            f"{source.__qualname__} is a class; register an instance of it. "
            f"Have you forgotten the ()?"
        )
    if isinstance(source, ModuleType):
        name = source.__name__
        if name.endswith(".plugin"):
            name = name.removesuffix(".plugin")
        return Found(name.rpartition(".")[2], "", "", source.__name__, lambda: source)
    name = getattr(source, "__name__", type(source).__name__)
    return Found(str(name), "", "", f"an object of {type(source).__qualname__}", lambda: source)


def _from_file(path: Path) -> Found:
    if not path.is_file():
        raise PluginError(
            f"There is no plugin file {str(path)!r}. Give the path of a Python file with "
            f"functions marked @hookimpl."
        )
    if not path.stem.isidentifier():
        raise PluginError(
            f"Plugin file {str(path)!r}: {path.stem!r} is not a module name, so its components "
            f"could not be imported. Rename it to letters, digits and underscores."
        )
    return Found(path.stem, "", "", str(path), lambda: _import_file(path.resolve()))


def _import_file(path: Path) -> ModuleType:
    """Import ``path`` under its stem, so that ``"stem:Class"`` targets resolve."""
    present = sys.modules.get(path.stem)
    if present is not None and getattr(present, "__file__", None) != str(path):
        raise ImportError(
            f"a module named {path.stem!r} is already imported from "
            f"{getattr(present, '__file__', 'the standard library')}; rename the plugin file"
        )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    # Files beside the plugin may hold its implementations; last, so that they shadow nothing.
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module
