"""Manifest: candidates out of the whole catalog."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rankloom import ComponentConfig, ComponentSpec, component, hookimpl

__all__ = ["ExactConfig", "register_retrievers"]


class ExactConfig(ComponentConfig):
    """Exact search for the largest inner products; nothing is approximated."""

    type: Literal["exact"] = "exact"
    model: str | None = None
    """The model whose vectors are searched; default: the only one."""
    k: int = Field(default=200, ge=1)
    """Candidates that remain for each query after exclusions."""


@hookimpl
def register_retrievers() -> list[ComponentSpec]:
    """Register the retrievers."""
    return [
        component(
            ExactConfig, "rankloom_plugins.retrieval.exact:ExactRetriever", needs_vectors=True
        )
    ]
