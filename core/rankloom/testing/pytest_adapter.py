"""The checks as parameters of a pytest test; pytest is imported only when it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rankloom.errors import PluginError, did_you_mean
from rankloom.testing.kit import checks_of_plugin

__all__ = ["conformance_checks"]


def conformance_checks(
    *,
    plugin: str,
    examples: Mapping[str, Mapping[str, Any]] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a test that takes ``check`` and calls it.

    ::

        @conformance_checks(plugin="acme")
        def test_conformance(check):
            check()

    Args:
        plugin: Name of an installed plugin.
        examples: Settings by ``kind:name``, for components without defaults.
        expected_failures: Why a check fails by design, by ``check_name`` (of every component) or
            ``kind:name:check_name``. A check listed here that passes fails the test.

    Raises:
        PluginError: The plugin is not there, or an expected failure names no check.
    """
    import pytest

    reasons = dict(expected_failures or {})
    found = list(checks_of_plugin(plugin, examples))
    known = {check for _, check, _ in found} | {f"{name}:{check}" for name, check, _ in found}
    for wrong in reasons.keys() - known:
        raise PluginError(
            f"expected_failures names no check of plugin {plugin!r}: {wrong!r}."
            f"{did_you_mean(wrong, known)}"
        )
    parameters = []
    for name, check, call in found:
        reason = reasons.get(f"{name}:{check}", reasons.get(check))
        marks = [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]
        parameters.append(pytest.param(call, id=f"{name}:{check}", marks=marks))
    decorate: Callable[[Callable[..., Any]], Callable[..., Any]] = pytest.mark.parametrize(
        "check", parameters
    )
    return decorate
