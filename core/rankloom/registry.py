"""The registry: names of components to what implements them."""

from __future__ import annotations

import importlib.metadata
import pkgutil
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rankloom.components import KINDS, ComponentConfig, ComponentSpec
from rankloom.errors import ConfigError, MissingExtraError, PluginError, did_you_mean
from rankloom.host import Host, get_host

if TYPE_CHECKING:
    from rankloom.protocols.build import Build

__all__ = ["Registry", "default_registry"]


class Registry:
    """(kind, name) → :class:`~rankloom.components.ComponentSpec`.

    Args:
        host: The plugins whose components it holds.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self._specs = {(spec.kind, spec.name): spec for spec in host.components()}
        self._by_config: dict[tuple[str, type[ComponentConfig]], ComponentSpec] = {
            (spec.kind, spec.config): spec for spec in self._specs.values()
        }

    def specs(self, kind: str) -> list[ComponentSpec]:
        """Return the components of a kind, sorted by name."""
        _check_kind(kind)
        found = [spec for spec in self._specs.values() if spec.kind == kind]
        return sorted(found, key=lambda spec: spec.name)

    def get(self, kind: str, name: str) -> ComponentSpec:
        """Return a component.

        Raises:
            ConfigError: No plugin brings it; the message has the nearest name, all there are, and
                which plugins are broken or disabled.
        """
        _check_kind(kind)
        spec = self._specs.get((kind, name))
        if spec is None:
            raise ConfigError(self._unknown(kind, name))
        return spec

    def of(self, config: ComponentConfig, kind: str | None = None) -> ComponentSpec | None:
        """Return the spec whose settings ``config`` is, or None.

        Args:
            config: A typed config.
            kind: Look in this kind only.
        """
        kinds = KINDS if kind is None else (kind,)
        found = (self._by_config.get((one, type(config))) for one in kinds)
        return next((spec for spec in found if spec is not None), None)

    def implementation(self, spec: ComponentSpec) -> Any:
        """Import what implements a component.

        Raises:
            MissingExtraError: A package of an optional dependency group is not installed.
            PluginError: The target does not exist or fails to import.
        """
        module = spec.target.partition(":")[0]
        try:
            return pkgutil.resolve_name(spec.target)
        except ImportError as error:
            missing = error.name or ""
            if spec.extras and missing and not f"{module}.".startswith(f"{missing}."):
                raise self._missing_extra(spec, missing, spec.extras[0]) from error
            raise self._failed(spec, error) from error
        except Exception as error:
            raise self._failed(spec, error) from error

    def build(self, kind: str, config: ComponentConfig, build: Build) -> Any:
        """Instantiate a component: ``Class(config, build)``.

        Raises:
            ConfigError: ``config`` belongs to no registered component of that kind.
            MissingExtraError, PluginError: See :meth:`implementation`.
        """
        spec = self.of(config, kind) or self.get(kind, config.type)
        return self.implementation(spec)(config, build)

    def check_extras(self, spec: ComponentSpec) -> None:
        """Raise if an optional dependency of a component is not installed; imports nothing.

        Raises:
            MissingExtraError: Naming the first missing package and the pip command.
        """
        for extra in spec.extras:
            for package in _missing_packages(self._distribution(spec), extra):
                raise self._missing_extra(spec, package, extra)

    def _distribution(self, spec: ComponentSpec) -> str:
        infos = (info for info in self.host.plugins() if info.name == spec.plugin)
        return next((info.distribution for info in infos if info.components), "")

    def _missing_extra(self, spec: ComponentSpec, package: str, extra: str) -> MissingExtraError:
        what = f"{spec.kind} {spec.name!r}"
        return MissingExtraError(what, package, extra, self._distribution(spec))

    def _failed(self, spec: ComponentSpec, error: Exception) -> PluginError:
        return PluginError(
            f"{spec.kind} {spec.name!r} of plugin {spec.plugin!r}: cannot import "
            f"{spec.target!r}: {type(error).__name__}: {error}"
        )

    def _unknown(self, kind: str, name: str) -> str:
        if (kind, name) in self.host.clashes:
            return self.host.clashes[kind, name]
        names = [spec.name for spec in self.specs(kind)]
        message = f"Unknown {kind} {name!r}.{did_you_mean(name, names)}"
        message += f" Installed: {', '.join(names)}." if names else f" No {kind} is installed."
        other = [key[0] for key in self._specs if key[1] == name]
        if other:
            article = "an" if other[0][0] in "aeiou" else "a"
            message += f" ({name!r} is {article} {other[0]}.)"
        return message + self._absent()

    def _absent(self) -> str:
        plugins = self.host.plugins()
        broken = [one.name for one in plugins if one.problem and not one.hooks]
        disabled = [one.name for one in plugins if one.disabled]
        text = ""
        if broken:
            text += (
                f" Plugins that failed to load: {', '.join(broken)} (see `rankloom plugins list`)."
            )
            first = next(one.problem for one in plugins if one.name == broken[0] and one.problem)
            text += f" {first}" if len(broken) == 1 else ""
        return text + (f" Disabled plugins: {', '.join(disabled)}." if disabled else "")


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise LookupError(f"There is no kind {kind!r}; kinds are {', '.join(KINDS)}.")


def _missing_packages(distribution: str, extra: str) -> Sequence[str]:
    """Return the packages of a distribution's extra that are not installed."""
    try:
        requires = importlib.metadata.requires(distribution) or []
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return []
    # Only plain "name; extra == 'x'": other markers may not apply to this machine.
    pattern = re.compile(rf"^([\w.-]+)[^;]*;\s*extra\s*==\s*['\"]{re.escape(extra)}['\"]\s*$")
    packages = [match[1] for line in requires if (match := pattern.match(line))]
    return [package for package in packages if not _installed(package)]


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


_default: Registry | None = None


def default_registry() -> Registry:
    """Return the registry of the process-wide host; it follows what is registered later."""
    global _default
    host = get_host()
    if _default is None or _default.host is not host:
        _default = Registry(host)
    return _default
