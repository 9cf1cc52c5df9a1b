"""pydantic's errors in our words, with the nearest right name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from rankloom.errors import did_you_mean

__all__ = ["EXPLAINED", "Loc", "explain"]

Loc = tuple[int | str, ...]

#: Type of errors whose message is final.
EXPLAINED = "rankloom"


def explain(
    error: ValidationError, model: type[BaseModel], what: str, aliases: Sequence[str] = ()
) -> list[InitErrorDetails]:
    """Return the errors of validating ``model`` with final messages.

    Args:
        error: What pydantic raised.
        model: The class that was validated.
        what: What to call it: ``encoder 'bert'``.
        aliases: Further keys of ``model`` that may be meant.
    """
    details = []
    for one in error.errors(include_url=False):
        loc, kind = one["loc"], one["type"]
        if kind == EXPLAINED:
            message = one["msg"]
        elif kind == "extra_forbidden":
            owner = _owner(model, loc[:-1])
            message = _unknown_field(owner, model, str(loc[-1]), what, aliases)
        elif kind == "missing":
            message = f"required by {what}, but not given" if len(loc) == 1 else "is required"
        else:
            message = one["msg"].removeprefix("Value error, ") + _got(one["input"])
        details.append(
            InitErrorDetails(
                type=PydanticCustomError(EXPLAINED, message), loc=loc, input=one["input"]
            )
        )
    return details


def _unknown_field(
    owner: type[BaseModel] | None,
    model: type[BaseModel],
    key: str,
    what: str,
    aliases: Sequence[str],
) -> str:
    if owner is None:
        return "unknown field."
    fields = list(owner.model_fields)
    names = [*fields, *aliases] if owner is model else fields
    nearest = did_you_mean(key, names)
    options = "" if nearest else f" Fields: {', '.join(names)}."
    return f"unknown field{f' for {what}' if owner is model else ''}.{nearest}{options}"


def _got(value: Any) -> str:
    if isinstance(value, str | int | float | bool | None):
        return f" (got {value!r})"
    return f" (got a {type(value).__name__})" if isinstance(value, list | dict) else ""


def _owner(annotation: Any, loc: Loc) -> type[BaseModel] | None:
    """Return the model class that is reached from ``annotation`` along ``loc``."""
    if get_origin(annotation) is Annotated:
        return _owner(get_args(annotation)[0], loc)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not loc:
            return annotation
        field = annotation.model_fields.get(str(loc[0]))
        return None if field is None else _owner(field.annotation, loc[1:])
    arguments = get_args(annotation)
    if not arguments:
        return None
    if get_origin(annotation) in (list, tuple, dict, set):
        return _owner(arguments[-1], loc[1:]) if loc else None
    found = (_owner(argument, loc) for argument in arguments)  # a union
    return next((model for model in found if model is not None), None)
