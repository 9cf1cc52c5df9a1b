"""What components hand over, looked at where it crosses into core.

The looks are at types and shapes alone: they cost nothing beside the work. What they find is an
error that names the component, where an index error deep inside would name nobody.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rankloom.errors import PluginError
from rankloom.protocols import CandidateBatch, Scores, Slates

__all__ = ["check_candidates", "check_scores", "check_slates"]


def check_scores(scorer: Any, scores: Any, q: int, n: int) -> Scores:
    """Return scores if they are ``[q, n]``.

    Raises:
        PluginError: They are not.
    """
    if not isinstance(scores, Scores):
        raise PluginError(
            f"{_named(scorer)}.score returned {type(scores).__qualname__}; it must return "
            f"rankloom.protocols.Scores."
        )
    if not isinstance(scores.values, Tensor) or scores.values.shape != (q, n):
        raise PluginError(
            f"{_named(scorer)}.score returned values of the shape {_shape(scores.values)} for {q} "
            f"queries and {n} candidates; they must be a tensor [{q}, {n}], NaN where a pair "
            f"cannot be scored."
        )
    return scores


def check_slates(policy: Any, slates: Any, q: int, k: int) -> Slates:
    """Return slates if they are ``[q, k]``.

    Raises:
        PluginError: They are not.
    """
    if not isinstance(slates, Slates):
        raise PluginError(
            f"{_named(policy)}.decide returned {type(slates).__qualname__}; it must return "
            f"rankloom.protocols.Slates."
        )
    for name in ("items", "scores", "log_probs"):
        value = getattr(slates, name)
        if not isinstance(value, Tensor) or value.shape != (q, k):
            raise PluginError(
                f"{_named(policy)}.decide returned {name} of the shape {_shape(value)} for {q} "
                f"queries and {k} slots; it must be a tensor [{q}, {k}], with items -1 at empty "
                f"slots (rankloom.nn.slates.fill_slots sees to it)."
            )
    return slates


def check_candidates(retriever: Any, found: Any, q: int) -> CandidateBatch:
    """Return candidates if they are ``[n]`` or ``[q, n]``.

    Raises:
        PluginError: They are not.
    """
    if not isinstance(found, CandidateBatch) or not isinstance(found.items, Tensor):
        raise PluginError(
            f"{_named(retriever)}.retrieve returned {type(found).__qualname__}; it must return a "
            f"rankloom.protocols.CandidateBatch of item indices."
        )
    if found.items.dim() not in (1, 2) or (found.items.dim() == 2 and len(found.items) != q):
        raise PluginError(
            f"{_named(retriever)}.retrieve returned items of the shape {_shape(found.items)} for "
            f"{q} queries; they must be [n] or [{q}, n], -1 at padding."
        )
    return found


def _named(component: Any) -> str:
    kind = type(component)
    return f"{kind.__module__}.{kind.__qualname__}"


def _shape(value: Any) -> str:
    return str(list(value.shape)) if isinstance(value, Tensor) else type(value).__qualname__
