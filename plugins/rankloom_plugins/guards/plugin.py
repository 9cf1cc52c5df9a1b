"""Manifest: rules over what may be shown."""

from __future__ import annotations

from typing import Literal

from rankloom import ComponentConfig, ComponentSpec, component, hookimpl

__all__ = ["SeenConfig", "register_guards"]


class SeenConfig(ComponentConfig):
    """Never show what the user has already interacted with."""

    type: Literal["seen"] = "seen"


@hookimpl
def register_guards() -> list[ComponentSpec]:
    """Register the guards."""
    return [component(SeenConfig, "rankloom_plugins.guards.seen:SeenGuard")]
