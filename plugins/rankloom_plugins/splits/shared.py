"""What the splits share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rankloom.data.assembly import WITHOUT_TIME
from rankloom.data.dataset import Dataset, SplitResult
from rankloom.errors import DataError

__all__ = [
    "Mask",
    "checked",
    "first_of_pair",
    "later_than",
    "positives_rule",
    "require_times",
    "rows_of",
    "same_pair",
]

Mask = npt.NDArray[np.bool_]

LATER = "not held out, later than the user's first held-out row"
REPEAT = "further interactions with an item that is held out for the same user"


def rows_of(mask: Mask) -> Tensor:
    """Return the positions ``[k]`` int64 at which a mask is True."""
    return torch.from_numpy(np.flatnonzero(mask))


def first_of_pair(dataset: Dataset) -> Mask:
    """``[n]``: True at the first interaction, in (time, source row), of each user and item.

    Only those can be held out: full ranking leaves out what a user has seen, so that nothing
    could find a repeated item.
    """
    log = dataset.interactions
    users, items = log.users.numpy(), log.items.numpy()
    order = np.lexsort((log.rows.numpy(), log.times.numpy(), items, users))
    first = np.ones(len(log), dtype=bool)
    first[order[1:]] = (np.diff(users[order]) != 0) | (np.diff(items[order]) != 0)
    return first


def later_than(dataset: Dataset, held_out: Mask) -> Mask:
    """``[n]``: True at rows later, in (time, source row), than their user's first held-out row."""
    log = dataset.interactions
    order = log.order().numpy()
    users, held = log.users.numpy()[order], held_out[order]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(users) != 0]))
    lengths = np.diff(np.append(starts, len(users)))
    running = np.cumsum(held)
    before = np.repeat(running[starts] - held[starts], lengths)
    later = np.empty(len(log), dtype=bool)
    # rows that have a held-out row strictly before them within the same user
    later[order] = running - held - before > 0
    return later


def same_pair(dataset: Dataset, held_out: Mask) -> Mask:
    """``[n]``: True at rows of a user and item that a held-out row has."""
    log = dataset.interactions
    pairs = log.users.numpy() * max(len(dataset.items), 1) + log.items.numpy()
    return np.isin(pairs, pairs[held_out])


def require_times(dataset: Dataset, split: str) -> None:
    """Make sure that either all positives have a time or no row of the data has one.

    Raises:
        DataError: Positives lack times that others have.
    """
    if not dataset.report.get(WITHOUT_TIME):
        return
    n = int((dataset.positive & (dataset.interactions.times == 0)).sum())
    if n:
        raise DataError(
            f"The split {split!r} needs to know what came last, but {n} positives of "
            f"{dataset.name or 'the data'} have no time while others have one. Use the split "
            f"'random', or a 'positive.min_value' that only rows with a time reach."
        )


def positives_rule(dataset: Dataset) -> str:
    """Return the protocol card's sentence on what a positive is."""
    if bool(dataset.positive.all()):
        return "Every interaction is a positive."
    lowest = float(dataset.interactions.values[dataset.positive].min())
    n = int(dataset.positive.sum())
    return (
        f"A positive has a value of at least {lowest:g}: {n} of {len(dataset.positive)} "
        f"interactions."
    )


def checked(result: SplitResult, remedies: Mapping[str, str]) -> SplitResult:
    """Return the result, without reasons that dropped nothing, if every part has rows.

    Args:
        result: What a split made.
        remedies: What to do if ``train``, ``validation`` or ``test`` is empty.

    Raises:
        DataError: A part has no rows.
    """
    parts = {
        "train": result.train,
        "validation": result.validation.targets,
        "test": result.test.targets,
    }
    for name, rows in parts.items():
        if not len(rows):
            raise DataError(f"The split {result.card.name!r}: {name} has 0 rows. {remedies[name]}")
    return replace(result, dropped={reason: n for reason, n in result.dropped.items() if n})
