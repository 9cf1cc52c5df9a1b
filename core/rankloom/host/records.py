"""What the host reports about plugins; plain data that ``dataclasses.asdict`` turns into JSON."""

from __future__ import annotations

from dataclasses import dataclass

from rankloom.components import ComponentSpec

__all__ = ["ComponentInfo", "PluginInfo", "PluginProblem"]


@dataclass(frozen=True)
class PluginProblem:
    """What is wrong with a plugin.

    Attributes:
        plugin: Name of the plugin.
        distribution: Name and version of what installed it, or where it was given.
        message: The whole story: what, where, why, what to do.
    """

    plugin: str
    distribution: str
    message: str


@dataclass(frozen=True)
class ComponentInfo:
    """One component in ``rankloom plugins list``."""

    kind: str
    name: str
    target: str
    modality: str | None
    extras: tuple[str, ...]
    summary: str

    @staticmethod
    def of(spec: ComponentSpec) -> ComponentInfo:
        """Describe a spec."""
        return ComponentInfo(
            spec.kind, spec.name, spec.target, spec.modality, spec.extras, spec.summary
        )


@dataclass(frozen=True)
class PluginInfo:
    """One plugin in ``rankloom plugins list``.

    Attributes:
        name: Entry-point name, or the module's name where it was given by hand.
        distribution: What installed it; empty where it was given by hand.
        version: Version of the distribution.
        components: What it brings.
        hooks: Names of the hooks it implements.
        wraps: Stages and notifications that it wraps around others' implementations.
        problem: Why it, or one of its components, is not there; None if all is well.
        disabled: Left out by an environment variable.
    """

    name: str
    distribution: str
    version: str
    components: tuple[ComponentInfo, ...] = ()
    hooks: tuple[str, ...] = ()
    wraps: tuple[str, ...] = ()
    problem: str | None = None
    disabled: bool = False
