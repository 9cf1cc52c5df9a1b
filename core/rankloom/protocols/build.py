"""What a component is given when it is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as default
from pathlib import Path
from typing import Any

from rankloom.components import ComponentConfig
from rankloom.data.fields import FieldSpec

__all__ = ["Build"]


def _no_children(kind: str, config: ComponentConfig) -> Any:
    raise LookupError(f"no builder for a nested {kind} {config.type!r}")


@dataclass(frozen=True)
class Build:
    """Everything a component may know before data flows.

    Attributes:
        n_items: Rows of the catalog at fit time (embedding tables).
        n_users: Rows of the user table at fit time.
        field: The field an encoder reads, None for other kinds.
        dims: Dimensions of named children: encoders for a fusion; ``query`` and ``items`` for a
            scorer over towers; ``items`` for a history encoder.
        base_dir: Where relative paths in the config start.
        cache_dir: Where embeddings are cached.
        seed: Seed of everything random in the component.
        child: Builds a nested component: ``child("scorer", config)``.
        model: Resolves a reference to a trained model's scorer: ``model(name, task)``.
    """

    n_items: int = 0
    n_users: int = 0
    field: FieldSpec | None = None
    dims: Mapping[str, int] = default(default_factory=dict)
    base_dir: Path = Path()
    cache_dir: Path = Path(".rankloom/cache")
    seed: int = 0
    child: Callable[[str, ComponentConfig], Any] = _no_children
    model: Callable[[str | None, str | None], Any] | None = None
