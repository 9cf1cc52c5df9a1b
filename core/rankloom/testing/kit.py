"""Which checks a component has to pass, and running them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from rankloom.components import ComponentSpec
from rankloom.errors import PluginError, did_you_mean
from rankloom.testing import (
    common_checks,
    encoder_checks,
    fusion_checks,
    guard_checks,
    history_checks,
    manifest_checks,
    objective_checks,
    policy_checks,
    retriever_checks,
    scorer_checks,
)
from rankloom.testing.subject import Blocked, Subject

__all__ = [
    "CHECKED_KINDS",
    "Check",
    "CheckResult",
    "checks_for",
    "checks_of_plugin",
    "run_check",
    "run_checks",
]

Check = Callable[[Subject], None]
Outcome = Literal["passed", "failed", "blocked"]

#: Kinds that have checks beyond those of the manifest.
CHECKED_KINDS: tuple[str, ...] = (
    "encoder",
    "fusion",
    "scorer",
    "objective",
    "retriever",
    "guard",
    "policy",
)


@dataclass(frozen=True)
class CheckResult:
    """What came of one check.

    Attributes:
        component: ``kind:name``.
        check: Name of the check.
        outcome: ``blocked`` where an earlier failure makes the check impossible.
        message: What is wrong; empty if it passed.
    """

    component: str
    check: str
    outcome: Outcome
    message: str = ""


def _checks(module: Any) -> tuple[Check, ...]:
    return tuple(getattr(module, name) for name in module.__all__ if name.startswith("check_"))


_BY_KIND: dict[str, tuple[Check, ...]] = {
    "encoder": _checks(encoder_checks),
    "history": _checks(history_checks),
    "fusion": _checks(fusion_checks),
    "scorer": _checks(scorer_checks),
    "objective": _checks(objective_checks),
    "retriever": _checks(retriever_checks),
    "guard": _checks(guard_checks),
    "policy": _checks(policy_checks),
}


def checks_for(
    spec: ComponentSpec, example: Mapping[str, Any] | None = None
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the checks of one component, each ready to be called; it raises if it fails.

    Args:
        spec: A bound spec (``kind`` filled in).
        example: Settings to build it with; default: ``spec.flags["example"]``, else the defaults.
    """
    subject = Subject(spec, example)
    checks = list(_checks(manifest_checks))
    if spec.kind in CHECKED_KINDS:
        checks += _checks(common_checks)
        checks += _BY_KIND["history" if subject.history else spec.kind]
    for check in checks:
        yield getattr(check, "__name__", "check"), partial(check, subject)


def run_check(component: str, name: str, check: Callable[[], None]) -> CheckResult:
    """Make one check."""
    try:
        check()
    except Blocked as error:
        return CheckResult(component, name, "blocked", str(error))
    except AssertionError as error:
        return CheckResult(component, name, "failed", str(error))
    except Exception as error:
        return CheckResult(component, name, "failed", f"{type(error).__name__}: {error}")
    return CheckResult(component, name, "passed")


def checks_of_plugin(
    plugin: str, examples: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterator[tuple[str, str, Callable[[], None]]]:
    """Yield (``kind:name``, check, callable) for every component of an installed plugin.

    Args:
        plugin: Its name in ``rankloom plugins list``.
        examples: Settings by ``kind:name``.

    Raises:
        PluginError: It is not installed, or it failed to load.
    """
    from rankloom.host import get_host

    host = get_host()
    infos = {info.name: info for info in host.plugins()}
    if plugin not in infos:
        raise PluginError(
            f"No plugin {plugin!r} is installed.{did_you_mean(plugin, infos)} "
            f"Installed: {', '.join(infos)}."
        )
    if infos[plugin].problem:
        raise PluginError(str(infos[plugin].problem))
    given = examples or {}
    for spec in host.components():
        if spec.plugin == plugin:
            name = f"{spec.kind}:{spec.name}"
            for check, call in checks_for(spec, given.get(name)):
                yield name, check, call


def run_checks(
    plugin: str, examples: Mapping[str, Mapping[str, Any]] | None = None
) -> list[CheckResult]:
    """Make every check of an installed plugin; ``rankloom plugins check NAME`` prints them.

    Args:
        plugin: Its name in ``rankloom plugins list``.
        examples: Settings by ``kind:name``, for components without defaults.

    Raises:
        PluginError: It is not installed, or it failed to load.
    """
    return [
        run_check(name, check, call) for name, check, call in checks_of_plugin(plugin, examples)
    ]
