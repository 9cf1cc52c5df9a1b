"""The typed facade: everything that core asks of plugins."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

from rankloom.components import ComponentSpec
from rankloom.errors import PluginError, did_you_mean
from rankloom.hookspecs import HOOK_OF_KIND, STAGES, hookimpl
from rankloom.host.find import Found, find_extra, find_installed
from rankloom.host.load import HOOKS, Loaded, load, new_manager
from rankloom.host.records import ComponentInfo, PluginInfo, PluginProblem
from rankloom.host.trace import trace_calls

__all__ = ["Host"]

#: Core's own implementation of the stage that is running.
_core_stage: ContextVar[Callable[[Any], Any]] = ContextVar("_core_stage")


class _Core:
    """Core's implementations, registered last and marked ``trylast``: what a wrapper wraps."""

    @hookimpl(trylast=True)
    def fit(self, context: Any) -> Any:
        return _core_stage.get()(context)

    @hookimpl(trylast=True)
    def evaluate(self, context: Any) -> Any:
        return _core_stage.get()(context)

    @hookimpl(trylast=True)
    def recommend(self, context: Any) -> Any:
        return _core_stage.get()(context)

    @hookimpl(trylast=True)
    def update(self, context: Any) -> Any:
        return _core_stage.get()(context)


class Host:
    """The loaded plugins. Make one with :meth:`load`; it does not change afterwards.

    Attributes:
        problems: What is wrong with plugins, in the order of loading.
        extra: The plugins that were given by hand; loading them again imports nothing anew.
        clashes: ``{(kind, name): message}`` of component names that two plugins claim and that
            therefore nobody gets.
    """

    def __init__(self, loaded: Sequence[Loaded], extra: Sequence[Found] = ()) -> None:
        self.extra = tuple(extra)
        self.problems: list[PluginProblem] = []
        self.clashes: dict[tuple[str, str], str] = {}
        self._refused: list[Found] = []
        self._disabled: list[Found] = []
        self._loaded = list(loaded)
        self._manager = new_manager()
        # Built-ins come first and the rest sorted, so third parties wrap what is built in.
        for plugin in self._loaded:
            self._manager.register(plugin.plugin, plugin.found.name)
        self._manager.register(_Core(), "core")
        self._specs = self._collect()
        self._hooked = {hook for plugin in self._loaded for hook in plugin.hooks}
        if os.environ.get("RANKLOOM_TRACE", "") not in ("", "0"):
            trace_calls(self._manager)
            self._hooked |= set(STAGES)

    @staticmethod
    def load(
        extra: Sequence[str | Path | ModuleType | object] = (),
        *,
        installed: Sequence[Found] | None = None,
    ) -> Host:
        """Find, load and check plugins.

        Args:
            extra: Plugins given by hand: files, modules or objects. They are loaded whatever the
                environment variables say.
            installed: What to load instead of the installed entry points.

        Raises:
            PluginError: No plugin at all is installed, or an extra is not there.
        """
        found = find_installed() if installed is None else list(installed)
        if installed is None and not found:
            raise PluginError(
                "No plugin was found, not even the built-in ones; is rankloom installed? "
                "From a checkout: pip install -e ."
            )
        wanted, disabled, notes = _select(found)
        by_hand = [find_extra(source) for source in extra]
        unique, twice = _unique_names([*wanted, *by_hand])
        loaded, broken = _load_all(unique)
        host = Host(loaded, [one.again() for one in loaded if one.found in by_hand])
        refused = [*twice, *broken]
        host._refused = [one for one, _ in refused]
        host._disabled = disabled
        problems = [PluginProblem(one.name, one.origin, message) for one, message in refused]
        host.problems[:0] = [*notes, *problems]
        return host

    def components(self) -> list[ComponentSpec]:
        """Return every usable component, by kind and in the order of loading."""
        return list(self._specs.values())

    def call_stage(self, name: str, context: Any, core: Callable[[Any], Any]) -> Any:
        """Run a stage: plugins' implementations and wrappers, with ``core`` as the last one.

        Args:
            name: ``fit``, ``evaluate``, ``recommend`` or ``update``.
            context: Passed to every implementation.
            core: Core's implementation, called with the context.

        Returns:
            The first result that is not None.

        Raises:
            LookupError: There is no such stage.
        """
        if name not in STAGES:
            raise LookupError(f"There is no stage {name!r}; stages are {', '.join(STAGES)}.")
        if name not in self._hooked:  # a request has no time to ask around for nobody
            return core(context)
        token = _core_stage.set(core)
        try:
            return getattr(self._manager.hook, name)(context=context)
        finally:
            _core_stage.reset(token)

    def notify(self, name: str, **arguments: Any) -> None:
        """Tell every plugin that something happened; call on rank zero only.

        Raises:
            LookupError: There is no such notification.
        """
        if name not in HOOKS or name in STAGES or name in HOOK_OF_KIND.values():
            raise LookupError(f"There is no notification {name!r}.")
        getattr(self._manager.hook, name)(**arguments)

    def plugins(self) -> list[PluginInfo]:
        """Return every plugin, the broken and disabled ones too, for ``plugins list``."""
        infos = [self._info(plugin) for plugin in self._loaded]
        infos += [
            PluginInfo(one.name, one.distribution, one.version, problem=self._problem(one))
            for one in self._refused
        ]
        infos += [
            PluginInfo(one.name, one.distribution, one.version, disabled=True)
            for one in self._disabled
        ]
        return infos

    def _info(self, plugin: Loaded) -> PluginInfo:
        found = plugin.found
        specs = [spec for spec in self._specs.values() if spec.plugin == found.name]
        return PluginInfo(
            found.name,
            found.distribution,
            found.version,
            tuple(ComponentInfo.of(spec) for spec in specs),
            plugin.hooks,
            plugin.wraps,
            self._problem(found),
        )

    def _problem(self, found: Found) -> str | None:
        own = [
            problem.message
            for problem in self.problems
            if (problem.plugin, problem.distribution) == (found.name, found.origin)
        ]
        return " ".join(dict.fromkeys(own)) or None

    def _collect(self) -> dict[tuple[str, str], ComponentSpec]:
        """Sort out the names that several plugins claim."""
        claims: dict[tuple[str, str], list[tuple[Found, ComponentSpec]]] = defaultdict(list)
        for plugin in self._loaded:
            for spec in plugin.specs:
                claims[spec.kind, spec.name].append((plugin.found, spec))
        specs = {}
        for key in sorted(claims, key=lambda key: list(HOOK_OF_KIND).index(key[0])):
            owners = claims[key]
            if len(owners) > 1:
                self._clash(key, [found for found, _ in owners])
            if len(owners) == 1 or owners[0][0].built_in:
                specs[key] = owners[0][1]
        return specs

    def _clash(self, key: tuple[str, str], owners: list[Found]) -> None:
        kind, name = key
        who = " and ".join(f"{owner.name!r} ({owner.origin})" for owner in owners)
        built_in = owners[0].built_in
        outcome = "the built-in keeps it" if built_in else "neither gets it"
        message = (
            f"The {kind} name {name!r} is claimed by the plugins {who}; {outcome}. "
            f"Rename one, or disable one with RANKLOOM_DISABLE_PLUGINS={owners[-1].name}."
        )
        if not built_in:
            self.clashes[key] = message
        blamed = owners[1:] if built_in else owners
        self.problems += [PluginProblem(one.name, one.origin, message) for one in blamed]


def _names(variable: str) -> list[str]:
    return [name for name in os.environ.get(variable, "").replace(" ", "").split(",") if name]


def _select(found: Sequence[Found]) -> tuple[list[Found], list[Found], list[PluginProblem]]:
    """Apply the environment variables; return wanted, disabled, and what they misspell."""
    known = {one.name for one in found}
    notes = []
    for variable in ("RANKLOOM_DISABLE_PLUGINS", "RANKLOOM_PLUGINS"):
        for name in _names(variable):
            if name not in known:
                message = f"{variable} names {name!r}, which is not installed."
                notes.append(PluginProblem(name, variable, message + did_you_mean(name, known)))
    allowed = set(_names("RANKLOOM_PLUGINS")) or known
    names = allowed - set(_names("RANKLOOM_DISABLE_PLUGINS"))
    wanted = [one for one in found if one.name in names]
    return wanted, [one for one in found if one.name not in names], notes


def _unique_names(found: Iterable[Found]) -> tuple[list[Found], list[tuple[Found, str]]]:
    """Set aside plugins that share a name; a built-in keeps its own."""
    groups: Mapping[str, list[Found]] = defaultdict(list)
    for one in found:
        groups[one.name].append(one)
    unique, refused = [], []
    for group in groups.values():
        keeps = len(group) == 1 or group[0].built_in
        unique += group[:1] if keeps else []
        losers = group[1:] if keeps else group
        who = " and ".join(f"{one.origin} ({one.target})" for one in group)
        message = (
            f"Several plugins are named {group[0].name!r}: {who}. "
            f"{'The built-in one is used' if keeps else 'None of them is used'}; "
            f"uninstall one or rename its entry point."
        )
        refused += [(one, message) for one in losers]
    return unique, refused


def _load_all(found: Iterable[Found]) -> tuple[list[Loaded], list[tuple[Found, str]]]:
    loaded: list[Loaded] = []
    broken: list[tuple[Found, str]] = []
    owners: dict[int, Found] = {}
    for one in found:
        try:
            plugin = load(one)
        except PluginError as error:
            broken.append((one, str(error)))
            continue
        owner = owners.setdefault(id(plugin.plugin), one)
        if owner is one:
            loaded.append(plugin)
        else:
            message = f"{one} is the same object as the plugin {owner.name!r}, which is used."
            broken.append((one, message))
    return loaded, broken
