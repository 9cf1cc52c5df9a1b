"""The process-wide host that commands, configs and notebooks share."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from rankloom.errors import PluginError
from rankloom.host.facade import Host
from rankloom.host.find import find_extra, find_installed

__all__ = ["add_plugin_file", "get_command_host", "get_host", "register", "reset_host"]

_host: Host | None = None


def get_host() -> Host:
    """Return the default host, loading plugins on first use.

    Raises:
        PluginError: No plugin at all is installed.
    """
    global _host
    if _host is None:
        _host = Host.load()
    return _host


def get_command_host() -> Host:
    """Return a host that knows every plugin command.

    ``rankloom --help`` has to be quick, so of the built-in plugins only those are loaded that bring
    commands.
    """
    if _host is not None:
        return _host
    return Host.load(installed=[one for one in find_installed() if one.may_bring_commands])


def reset_host() -> None:
    """Forget the default host and what was registered; the next use loads plugins anew."""
    global _host
    _host = None


def register(plugin: ModuleType | object) -> None:
    """Add a plugin to this process: a module, or an object with hook methods.

    Registering one of the same name again replaces it, as re-running a notebook cell does.

    Raises:
        PluginError: The plugin is wrong; the host is then as it was before.
    """
    _add(plugin)


def add_plugin_file(path: str | Path) -> None:
    """Add a plugin that is a single Python file (``--plugin my.py``).

    Raises:
        PluginError: The file is missing or the plugin is wrong; the host is as it was before.
    """
    _add(Path(path))


def _add(source: ModuleType | object) -> None:
    global _host
    found = find_extra(source)
    current = get_host()
    kept = [one for one in current.extra if find_extra(one).name != found.name]
    # A new host, swapped in on success: a failed registration leaves nothing behind.
    renewed = Host.load([*kept, source])
    own = [
        problem.message
        for problem in renewed.problems
        if (problem.plugin, problem.distribution) == (found.name, found.origin)
    ]
    if own:
        raise PluginError(" ".join(dict.fromkeys(own)))
    _host = renewed
