"""``--set a.b=c``: change a pipeline file's values without editing it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from rankloom.config.explain import Loc
from rankloom.config.positions import parse
from rankloom.errors import ConfigError

__all__ = ["apply_overrides"]


def apply_overrides(
    data: Mapping[str, Any], overrides: Sequence[str]
) -> tuple[dict[str, Any], dict[Loc, str]]:
    """Return changed data, and which path was set by which override.

    Short forms are spelled out where an override goes below them: ``scorer.cosine=true`` turns
    ``scorer: dot`` into ``{type: dot, cosine: true}``.

    Raises:
        ConfigError: An override is not of the form ``a.b=value``, or its path leads nowhere.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(data))
    origins: dict[Loc, str] = {}
    for override in overrides:
        path, equals, text = override.partition("=")
        parts = [part.strip() for part in path.split(".")]
        if not equals or not all(parts):
            raise ConfigError(
                f"override {override!r}: write KEY=VALUE, as in models.seq.training.epochs=3."
            )
        if parts[:2] == ["models", "model"] and "model" in changed:
            parts = parts[1:]
        loc = _set(changed, parts, parse(text, f"override {override!r}"), override)
        origins[loc] = override
    return changed, origins


def _set(target: Any, parts: list[str], value: Any, override: str) -> Loc:
    loc: Loc = ()
    key: Any
    for depth, part in enumerate(parts):
        key = _key(target, part, parts[: depth + 1], override)
        loc = (*loc, key)
        if depth == len(parts) - 1:
            target[key] = value
            break
        inner = target[key] if isinstance(target, list) else target.get(key)
        if inner is None:
            inner = {}
        elif isinstance(inner, str):
            inner = {"type": inner}
        target[key] = inner
        target = inner
    return loc


def _key(target: Any, part: str, path: list[str], override: str) -> int | str:
    if isinstance(target, dict):
        return part
    if isinstance(target, list):
        if part.isdigit() and int(part) < len(target):
            return int(part)
        raise ConfigError(
            f"override {override!r}: {'.'.join(path[:-1])} is a list of {len(target)}; "
            f"{part!r} is not one of its positions (0 to {len(target) - 1})."
        )
    raise ConfigError(
        f"override {override!r}: {'.'.join(path[:-1])} is {target!r}, which has no {part!r}."
    )
