"""``RANKLOOM_TRACE=1``: log every hook call, who implements it and what came of it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pluggy

__all__ = ["trace_calls"]

_log = logging.getLogger("rankloom.trace")


def trace_calls(manager: pluggy.PluginManager) -> None:
    """Log the calls of a manager's hooks to stderr from now on."""
    if not _log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("trace: %(message)s"))
        _log.addHandler(handler)
        _log.setLevel(logging.DEBUG)
        _log.propagate = False
    manager.add_hookcall_monitoring(_before, _after)


def _before(hook: str, impls: Sequence[pluggy.HookImpl], arguments: Mapping[str, Any]) -> None:
    called = [
        f"{impl.plugin_name} (wraps)" if impl.wrapper or impl.hookwrapper else impl.plugin_name
        for impl in reversed(impls)
    ]
    _log.debug("%s(%s) -> %s", hook, ", ".join(arguments), ", ".join(called) or "nobody")


def _after(
    outcome: pluggy.Result[Any],
    hook: str,
    impls: Sequence[pluggy.HookImpl],
    arguments: Mapping[str, Any],
) -> None:
    if outcome.exception is not None:
        _log.debug("%s raised %s: %s", hook, type(outcome.exception).__name__, outcome.exception)
    else:
        _log.debug("%s returned %s", hook, type(outcome.get_result()).__name__)
