"""Steps two and three: import a plugin, then check its hooks and its components."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, replace
from typing import Any

import pluggy

from rankloom import hookspecs
from rankloom.components import ComponentConfig, ComponentSpec
from rankloom.errors import PluginError, did_you_mean
from rankloom.hookspecs import HOOK_OF_KIND, PROJECT
from rankloom.host.find import Found

__all__ = ["HOOKS", "Loaded", "load", "new_manager"]

_IMPL = f"{PROJECT}_impl"

#: Every hook that a plugin may implement.
HOOKS: frozenset[str] = frozenset(
    name for name, value in vars(hookspecs).items() if hasattr(value, f"{PROJECT}_spec")
)


@dataclass(frozen=True)
class Loaded:
    """A plugin that passed every check.

    Attributes:
        found: Where it came from.
        plugin: The module or object.
        hooks: Names of the hooks it implements, sorted.
        wraps: Those of them that are wrappers.
        specs: What it registers, bound to their kind and to the plugin.
    """

    found: Found
    plugin: Any
    hooks: tuple[str, ...]
    wraps: tuple[str, ...]
    specs: tuple[ComponentSpec, ...]

    def again(self) -> Found:
        """Return where it came from, to be loaded again without executing a file twice."""
        return replace(self.found, load=lambda: self.plugin)


def new_manager() -> pluggy.PluginManager:
    """Return a pluggy manager that knows the hooks and no plugin."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def load(found: Found) -> Loaded:
    """Import and check a plugin.

    Raises:
        PluginError: It fails to import, implements an unknown hook or one with wrong arguments,
            implements none, or registers something that is not a component.
    """
    plugin = _import(found)
    _check_names(found, plugin)
    # A scratch manager: pluggy keeps the name of a plugin whose registration failed.
    manager = new_manager()
    try:
        manager.register(plugin, found.name)
    except pluggy.PluginValidationError as error:
        raise PluginError(f"{found}: {' '.join(str(error).split())}") from error
    callers = manager.get_hookcallers(plugin) or []
    impls = {caller.name: caller.get_hookimpls()[0] for caller in callers}
    specs = tuple(_specs(found, impls))
    wraps = sorted(name for name, impl in impls.items() if impl.wrapper or impl.hookwrapper)
    return Loaded(found, plugin, tuple(sorted(impls)), tuple(wraps), specs)


def _import(found: Found) -> Any:
    try:
        # What it prints would stand among what a program reads from stdout (--json).
        with redirect_stdout(sys.stderr):
            return found.load()
    # A plugin may raise anything while it is imported, and must not take the others down.
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{found} failed to import: {type(error).__name__}: {error}. "
            f"Repair or uninstall it, or disable it with RANKLOOM_DISABLE_PLUGINS={found.name}."
        ) from error


def _check_names(found: Found, plugin: Any) -> None:
    """Refuse misspelt hooks and hooks without the marker; pluggy would ignore both."""
    members = vars(plugin) if hasattr(plugin, "__file__") else _members(plugin)
    implemented = 0
    for name, value in members.items():
        options = getattr(value, _IMPL, None)
        if isinstance(options, dict):
            hook = options.get("specname") or name
            implemented += 1
            if hook not in HOOKS:
                raise PluginError(
                    f"{found} implements unknown hook {hook!r}.{did_you_mean(hook, HOOKS)}"
                )
            if options.get("optionalhook"):
                continue
        elif name in HOOK_OF_KIND.values() and callable(value):
            raise PluginError(f"{found}: {name} is not marked; put @hookimpl above it.")
    if not implemented:
        raise PluginError(
            f"{found} implements no hook. Mark functions such as register_encoders with @hookimpl, "
            f"and let the entry point name the module that holds them."
        )


def _members(plugin: Any) -> dict[str, Any]:
    members = {}
    for name in dir(plugin):
        if not name.startswith("__"):
            with suppress(Exception):  # a property that raises is no hook
                members[name] = getattr(plugin, name)
    return members


def _specs(found: Found, impls: dict[str, pluggy.HookImpl]) -> Iterator[ComponentSpec]:
    for kind, hook in HOOK_OF_KIND.items():
        if hook not in impls:
            continue
        impl = impls[hook]
        if impl.wrapper or impl.hookwrapper:
            raise PluginError(f"{found}: {hook} only collects and cannot be a wrapper.")
        if impl.argnames or impl.kwargnames:
            raise PluginError(f"{found}: {hook} must take no arguments.")
        names: set[str] = set()
        for spec in _call(found, hook, impl):
            yield _checked(found, kind, hook, spec)
            if spec.name in names:
                raise PluginError(f"{found}: {hook} returns the name {spec.name!r} twice.")
            names.add(spec.name)


def _call(found: Found, hook: str, impl: pluggy.HookImpl) -> Iterable[Any]:
    try:
        with redirect_stdout(sys.stderr):
            result: Any = impl.function()
    except (Exception, SystemExit) as error:
        raise PluginError(f"{found}: {hook} failed: {type(error).__name__}: {error}") from error
    if not isinstance(result, Iterable) or isinstance(result, str):
        said = "nothing (is there a return?)" if result is None else repr(result)
        raise PluginError(f"{found}: {hook} returned {said}; return a list of components.")
    return list(result)


def _checked(found: Found, kind: str, hook: str, spec: Any) -> ComponentSpec:
    if not isinstance(spec, ComponentSpec):
        raise PluginError(
            f"{found}: {hook} returned {spec!r}; return specs built with rankloom.component()."
        )
    if not issubclass(spec.config, ComponentConfig):
        raise PluginError(
            f"{found}: {hook}: the config of {spec.name!r}, {spec.config.__qualname__}, must "
            f"inherit rankloom.ComponentConfig."
        )
    _check_config(found, hook, spec)
    if kind == "encoder" and "field" not in spec.config.model_fields:
        raise PluginError(
            f"{found}: {hook}: the config of {spec.name!r}, {spec.config.__qualname__}, must "
            f"inherit rankloom.EncoderConfig (it lacks 'field')."
        )
    return spec.bound(kind, found.name)


def _check_config(found: Found, hook: str, spec: ComponentSpec) -> None:
    """Check that settings can be validated at all: one class must not break everybody's file."""
    try:
        spec.config.model_rebuild()
    except Exception as error:
        raise PluginError(
            f"{found}: {hook}: the config of {spec.name!r}, {spec.config.__qualname__}, is not "
            f"complete: {' '.join(str(error).split())}"
        ) from error
