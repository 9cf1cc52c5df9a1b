"""What components hand over, looked at where it crosses into core.

The looks are at types and shapes alone: they cost nothing beside the work. What they find is an
error that names the component, where an index error deep inside would name nobody.
"""

from __future__ import annotations

from typing import Any, TypeVar

from torch import Tensor

from rankloom.errors import PluginError
from rankloom.protocols import CandidateBatch, Scores, Slates

__all__ = ["check_candidates", "check_scores", "check_slates"]

T = TypeVar("T")


def check_scores(scorer: Any, answer: Any, q: int, n: int) -> Scores:
    """Return what a scorer answered if it is ``[q, n]``.

    Raises:
        PluginError: It is not.
    """
    scores = _of_type(scorer, "score", answer, Scores)
    if not isinstance(scores.values, Tensor) or scores.values.shape != (q, n):
        raise PluginError(
            f"{_named(scorer)}.score returned values of the shape {_shape(scores.values)} for {q} "
            f"queries and {n} candidates; they must be a tensor [{q}, {n}], NaN where a pair "
            f"cannot be scored."
        )
    return scores


def check_slates(policy: Any, answer: Any, q: int, k: int) -> Slates:
    """Return what a policy answered if it is ``[q, k]``.

    Raises:
        PluginError: It is not.
    """
    slates = _of_type(policy, "decide", answer, Slates)
    for name in ("items", "scores", "log_probs"):
        value = getattr(slates, name)
        if not isinstance(value, Tensor) or value.shape != (q, k):
            raise PluginError(
                f"{_named(policy)}.decide returned {name} of the shape {_shape(value)} for {q} "
                f"queries and {k} slots; it must be a tensor [{q}, {k}], with items -1 at empty "
                f"slots (rankloom.nn.slates.fill_slots sees to it)."
            )
    return slates


def check_candidates(retriever: Any, answer: Any, q: int) -> CandidateBatch:
    """Return what a retriever answered if it is ``[n]`` or ``[q, n]``.

    Raises:
        PluginError: It is not.
    """
    found = _of_type(retriever, "retrieve", answer, CandidateBatch)
    items = found.items
    if not isinstance(items, Tensor) or not items.dim() or items.shape[:-1] not in ((), (q,)):
        raise PluginError(
            f"{_named(retriever)}.retrieve returned items of the shape {_shape(items)} for {q} "
            f"queries; they must be [n] or [{q}, n], -1 at padding."
        )
    return found


def _of_type(component: Any, method: str, answer: object, wanted: type[T]) -> T:
    if not isinstance(answer, wanted):
        raise PluginError(
            f"{_named(component)}.{method} returned {type(answer).__qualname__}; it must return "
            f"rankloom.protocols.{wanted.__name__}."
        )
    return answer


def _named(component: Any) -> str:
    kind = type(component)
    return f"{kind.__module__}.{kind.__qualname__}"


def _shape(value: Any) -> str:
    return str(list(value.shape)) if isinstance(value, Tensor) else type(value).__qualname__
