"""Conformance kit: checks that every component passes, built in or third party."""

from __future__ import annotations

from rankloom.testing.kit import (
    CHECKED_KINDS,
    CheckResult,
    checks_for,
    checks_of_plugin,
    run_check,
    run_checks,
)
from rankloom.testing.pytest_adapter import conformance_checks
from rankloom.testing.subject import Blocked, Subject
from rankloom.testing.world import World, make_world

__all__ = [
    "CHECKED_KINDS",
    "Blocked",
    "CheckResult",
    "Subject",
    "World",
    "checks_for",
    "checks_of_plugin",
    "conformance_checks",
    "make_world",
    "run_check",
    "run_checks",
]
