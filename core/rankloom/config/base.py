"""What the sections of a pipeline file have in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints

__all__ = ["Name", "Section", "as_dict"]

#: Names of encoders, models and tasks: they become parts of dotted paths and of file names.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$")]


class Section(BaseModel):
    """Strict, immutable, described by attribute docstrings."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True
    )


def as_dict(value: Any) -> Any:
    """Return a copy of a mapping that a validator may change; anything else as it is."""
    return dict(value) if isinstance(value, dict) else value
