"""What a data set holds, in numbers worth looking at before a model is chosen."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rankloom.data.dataset import Dataset, Phase, SplitResult
from rankloom.data.tables import Table

__all__ = ["describe", "tied_last_share"]

#: Distinct values up to which each is counted.
MOST_VALUES = 25


def describe(dataset: Dataset, split: SplitResult | None = None) -> dict[str, Any]:
    """Return sizes, values, times, fields and what a split makes of them, ready for JSON.

    Args:
        dataset: After :func:`rankloom.data.positives.prepare_dataset`.
        split: What the split made of it, if there is one.

    Returns:
        Plain facts, and mappings of facts by section. Shares are between 0 and 1.
    """
    log = dataset.interactions
    facts: dict[str, Any] = {
        "name": dataset.name,
        "sizes": _sizes(dataset),
        "values": _values(log.values),
        "times": _times(dataset),
        "item fields": _fields(dataset.items),
        "user fields": _fields(dataset.users),
        "left out or odd": dict(dataset.report),
    }
    if split is not None:
        facts["split"] = _split(dataset, split)
        facts["protocol"] = asdict(split.card)
    return facts


def tied_last_share(dataset: Dataset) -> float:
    """Return the share of users whose last positive has the time of an earlier positive of theirs.

    There the source's row order alone decides what came last. Users with one positive do not count.
    """
    log = dataset.interactions.select(dataset.positive)
    ordered = log.select(log.order())
    last = torch.ones(len(log), dtype=torch.bool)
    last[:-1] = ordered.users[:-1] != ordered.users[1:]
    at = last.nonzero().flatten()
    at = at[at > 0]
    at = at[ordered.users[at - 1] == ordered.users[at]]
    if not len(at):
        return 0.0
    return float((ordered.times[at - 1] == ordered.times[at]).float().mean())


def _sizes(dataset: Dataset) -> dict[str, Any]:
    log, positive = dataset.interactions, dataset.positive
    n_users, n_items = len(dataset.users), len(dataset.items)
    per_user = torch.bincount(log.users[positive], minlength=n_users)
    per_item = torch.bincount(log.items[positive], minlength=n_items)
    pairs = torch.unique(log.users * max(n_items, 1) + log.items)
    return {
        "users": n_users,
        "items": n_items,
        "interactions": len(log),
        "positives": int(positive.sum()),
        "share positive": _round(float(positive.float().mean())),
        "density": _round(len(pairs) / max(n_users * n_items, 1)),
        "users with fewer than 3 positives": int((per_user < 3).sum()),
        "items without a positive": int((per_item == 0).sum()),
        "positives a user, median": float(np.median(per_user.numpy())),
        "positives an item, median": float(np.median(per_item.numpy())),
    }


def _values(values: Tensor) -> dict[str, Any]:
    known = values[values.isfinite()]
    if not len(known):
        return {}
    distinct, counts = torch.unique(known, return_counts=True)
    if len(distinct) <= MOST_VALUES:
        return {f"{float(v):g}": int(n) for v, n in zip(distinct, counts, strict=True)}
    at = (0.0, 0.25, 0.5, 0.75, 1.0)
    names = ("lowest", "lower quarter", "median", "upper quarter", "highest")
    found = np.quantile(known.numpy(), at)
    return {"mean": float(known.mean()), **dict(zip(names, map(float, found), strict=True))}


def _times(dataset: Dataset) -> dict[str, Any]:
    log = dataset.interactions
    if not log.timed:
        return {"order": "that of the source's rows: the data has no times"}
    known = log.times[log.times != 0]
    facts: dict[str, Any] = {}
    if len(known):
        facts = {"first": _moment(int(known.min())), "last": _moment(int(known.max()))}
    facts["share of users whose last positive is tied in time"] = _round(tied_last_share(dataset))
    return facts


def _fields(table: Table) -> dict[str, str]:
    """Return type and missing share of every field."""
    facts = {}
    for name, spec in table.fields.items():
        missing = table.frame[name].null_count() / max(len(table), 1)
        kind = f"{spec.type}, multiple" if spec.multiple else str(spec.type)
        facts[name] = f"{kind}; {100 * missing:.3g} % missing"
    return facts


def _split(dataset: Dataset, split: SplitResult) -> dict[str, Any]:
    fitted = split.train if split.refit is None else split.refit
    facts: dict[str, Any] = {
        "train rows": len(split.train),
        "validation targets": len(split.validation.targets),
        "test targets": len(split.test.targets),
    }
    if split.refit is not None:
        facts["rows of the second fit"] = len(split.refit)
    for name, phase in (("validation", split.validation), ("test", split.test)):
        known = split.train if name == "validation" else fitted
        facts |= _phase(dataset, phase, known, name)
    facts |= {f"rows left out: {reason}": n for reason, n in split.dropped.items()}
    return facts


def _phase(dataset: Dataset, phase: Phase, fitted: Tensor, name: str) -> dict[str, Any]:
    log = dataset.interactions
    warm = torch.zeros(len(dataset.items), dtype=torch.bool)
    warm[log.items[fitted[dataset.positive[fitted]]]] = True
    known = torch.zeros(len(dataset.users), dtype=torch.bool)
    known[log.users[phase.history]] = True
    users = torch.unique(log.users[phase.targets])
    cold = float((~warm[log.items[phase.targets]]).float().mean())
    return {
        f"{name} users": len(users),
        f"{name} candidates": int(phase.candidates.sum()),
        f"{name} targets whose item is cold, share": _round(cold),
        f"{name} users without history, share": _round(float((~known[users]).float().mean())),
    }


def _moment(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def _round(share: float) -> float:
    return float(f"{share:.4g}")
