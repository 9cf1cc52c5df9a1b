"""The plugin host: find, load and check plugins, and a typed facade over pluggy.

Finding, loading and checking are separate steps with records in between, sorted, so that nothing
depends on directory order. What is wrong with a plugin is collected in ``Host.problems``; it never
takes the other plugins down. The rest of the code never sees pluggy.

Environment variables: ``RANKLOOM_DISABLE_PLUGINS`` and ``RANKLOOM_PLUGINS`` (an allow-list) hold
plugin names separated by commas; ``RANKLOOM_TRACE=1`` logs every hook call to stderr.
"""

from __future__ import annotations

from rankloom.host.default import add_plugin_file, get_command_host, get_host, register, reset_host
from rankloom.host.facade import Host
from rankloom.host.find import Found
from rankloom.host.records import ComponentInfo, PluginInfo, PluginProblem

__all__ = [
    "ComponentInfo",
    "Found",
    "Host",
    "PluginInfo",
    "PluginProblem",
    "add_plugin_file",
    "get_command_host",
    "get_host",
    "register",
    "reset_host",
]
