"""What config makes of a loaded log: duplicates, positives, k-core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import polars as pl
import torch
from torch import Tensor

from rankloom.data.dataset import Dataset
from rankloom.data.ids import IdMap
from rankloom.data.tables import Table
from rankloom.errors import DataError

__all__ = ["Duplicates", "apply_positive", "drop_duplicates", "k_core", "prepare_dataset"]

Duplicates = Literal["error", "first", "last", "keep"]


def prepare_dataset(
    dataset: Dataset,
    *,
    min_value: float | None = None,
    k_core: int = 0,
    duplicates: Duplicates = "last",
) -> Dataset:
    """Apply what a pipeline's ``data:`` says, in the order duplicates, positives, k-core.

    Args:
        dataset: As the source loaded it.
        min_value: Smallest value of a positive; None: every interaction is one.
        k_core: Users and items keep at least so many positives; 0 or 1: no k-core.
        duplicates: Which of several equal interactions stays.

    Raises:
        DataError: There are duplicates and ``duplicates`` is ``"error"``, no value is large enough,
            or the k-core is empty.
    """
    prepared = apply_positive(drop_duplicates(dataset, duplicates), min_value)
    return _k_core(prepared, k_core) if k_core > 1 else prepared


def drop_duplicates(dataset: Dataset, keep: Duplicates) -> Dataset:
    """Keep one of several equal interactions.

    Where interactions have values, two of one user and item are equal, since a second rating
    replaces the first. Where they have none, an event may repeat: only those of one user, item
    and time are equal (without times: of one user and item).

    Args:
        dataset: Any data set.
        keep: ``"first"`` or ``"last"`` in (time, source row), ``"keep"`` (all), or ``"error"``.

    Raises:
        DataError: ``keep`` is ``"error"`` and there is a duplicate: it names both rows.
    """
    if keep == "keep":
        return dataset
    log = dataset.interactions
    rated = bool(log.values.isfinite().any())
    times = log.times.numpy()
    same_time = times if log.timed and not rated else np.zeros_like(times)
    keys = (same_time, log.items.numpy(), log.users.numpy())
    order = np.lexsort((log.rows.numpy(), times, *keys))
    changed = np.zeros(max(len(log) - 1, 0), dtype=bool)
    for key in keys:
        changed |= np.diff(key[order]) != 0
    if changed.all():
        return dataset
    if keep == "error":
        at = int(np.flatnonzero(~changed)[0])
        _complain(dataset, int(order[at]), int(order[at + 1]), int((~changed).sum()))
    edge = np.array([True])
    chosen = np.concatenate([edge, changed] if keep == "first" else [changed, edge])
    mask = torch.zeros(len(log), dtype=torch.bool)
    mask[torch.from_numpy(order[chosen])] = True
    return _keep_rows(dataset, mask, {"duplicates dropped": int((~mask).sum())})


def _complain(dataset: Dataset, first: int, second: int, n: int) -> None:
    log = dataset.interactions
    user = dataset.users.ids.external([int(log.users[first])])[0]
    item = dataset.items.ids.external([int(log.items[first])])[0]
    raise DataError(
        f"{dataset.name or 'The interactions'}, row {int(log.rows[second])}: user {user!r} and "
        f"item {item!r} stand in row {int(log.rows[first])} already ({n} duplicates in all). "
        f"Set 'duplicates: first' or 'last' under 'data:' to keep one of them."
    )


def apply_positive(dataset: Dataset, min_value: float | None) -> Dataset:
    """Decide which interactions are positives.

    Args:
        dataset: Any data set.
        min_value: Smallest value of a positive (events without a value are none); None: every
            interaction is one.

    Raises:
        DataError: No interaction would be positive.
    """
    values = dataset.interactions.values
    if min_value is None:
        return replace(dataset, positive=torch.ones(len(values), dtype=torch.bool))
    known = values[values.isfinite()]
    if not len(known):
        raise DataError(
            f"{dataset.name or 'The data'}: 'positive.min_value' is {min_value:g}, but the "
            f"interactions have no values. Name the source's value column, or remove 'positive'."
        )
    positive = values >= min_value
    if not bool(positive.any()):
        raise DataError(
            f"{dataset.name or 'The data'}: no interaction is positive: 'positive.min_value' is "
            f"{min_value:g} and values go from {float(known.min()):g} to {float(known.max()):g}."
        )
    return replace(dataset, positive=positive)


def k_core(dataset: Dataset, k: int) -> Dataset:
    """Drop users and items until each that is left has at least ``k`` positives.

    What is dropped leaves the tables too: it is neither a query nor a candidate.

    Raises:
        DataError: Nothing is left.
    """
    return _k_core(dataset, k)


def _k_core(dataset: Dataset, k: int) -> Dataset:
    log, sizes = dataset.interactions, (len(dataset.users), len(dataset.items))
    alive = dataset.positive.clone()
    while True:
        n_user = torch.bincount(log.users[alive], minlength=sizes[0])
        n_item = torch.bincount(log.items[alive], minlength=sizes[1])
        weak = alive & ((n_user[log.users] < k) | (n_item[log.items] < k))
        if not bool(weak.any()):
            break
        alive &= ~weak
    if not bool(alive.any()):
        raise DataError(
            f"{dataset.name or 'The data'}: the {k}-core is empty: no users and items have {k} "
            f"positives with each other. Lower 'k_core'."
        )
    users, items = n_user > 0, n_item > 0
    report = {
        f"users outside the {k}-core": int((~users).sum()),
        f"items outside the {k}-core": int((~items).sum()),
    }
    kept = _keep_rows(dataset, users[log.users] & items[log.items], report)
    log = kept.interactions
    new_user, new_item = users.cumsum(0) - 1, items.cumsum(0) - 1
    moved = replace(log, users=new_user[log.users], items=new_item[log.items])
    return replace(
        kept,
        users=_restrict(dataset.users, users),
        items=_restrict(dataset.items, items),
        interactions=moved,
    )


def _restrict(table: Table, keep: Tensor) -> Table:
    rows = keep.nonzero().flatten()
    frame = table.frame.filter(pl.Series(keep.numpy())) if table.frame.width else table.frame
    return Table(table.side, IdMap(table.ids.external(rows.tolist())), frame, table.fields)


def _keep_rows(dataset: Dataset, mask: Tensor, counts: Mapping[str, int]) -> Dataset:
    given = dataset.given_split
    return replace(
        dataset,
        interactions=dataset.interactions.select(mask),
        positive=dataset.positive[mask],
        given_split=None if given is None else given[mask],
        report={**dataset.report, **{name: n for name, n in counts.items() if n}},
    )
