"""The split ``leave_last_out``."""

from __future__ import annotations

import numpy as np
import torch

from rankloom.data.dataset import Dataset, Phase, ProtocolCard, SplitResult
from rankloom.protocols import Build
from rankloom_plugins.splits.plugin import LeaveLastOutConfig
from rankloom_plugins.splits.shared import (
    LATER,
    Mask,
    checked,
    first_of_pair,
    later_than,
    positives_rule,
    require_times,
    rows_of,
)

__all__ = ["LeaveLastOut"]


class LeaveLastOut:
    """Holds out the last positive of each user for the test, the one before for validation.

    Ties in time keep the source's order. A held-out positive is the user's first interaction with
    its item. Of a user with too few of them, everything is training.
    """

    def __init__(self, config: LeaveLastOutConfig, build: Build) -> None:
        self.config = config

    def split(self, dataset: Dataset, seed: int) -> SplitResult:
        """Divide; ``seed`` changes nothing.

        Raises:
            DataError: Positives lack times that others have, or a part has no rows.
        """
        require_times(dataset, "leave_last_out")
        validation, test = self._held_out(dataset)
        held_out = validation | test
        later = later_than(dataset, held_out)
        train = ~held_out & ~later
        history = train | validation
        everything = torch.ones(len(dataset.items), dtype=torch.bool)
        result = SplitResult(
            train=rows_of(train),
            validation=Phase(rows_of(validation), rows_of(train), rows_of(train), everything),
            test=Phase(rows_of(test), rows_of(history), rows_of(history), everything),
            card=_card(dataset),
            dropped={LATER: int((later & ~held_out).sum())},
        )
        few = (
            f"No user has {self.config.min_history + 2} positives with different items: lower "
            f"'min_history' or 'positive.min_value', or check the user column."
        )
        return checked(result, {"train": few, "validation": few, "test": few})

    def _held_out(self, dataset: Dataset) -> tuple[Mask, Mask]:
        """Return masks of the validation and the test rows."""
        log = dataset.interactions
        eligible = dataset.positive.numpy() & first_of_pair(dataset)
        order = log.order().numpy()
        order = order[eligible[order]]
        users = log.users.numpy()[order]
        counts = np.bincount(users, minlength=len(dataset.users))
        enough = counts >= self.config.min_history + 2
        ends = np.cumsum(counts)[enough]
        validation, test = np.zeros(len(log), dtype=bool), np.zeros(len(log), dtype=bool)
        validation[order[ends - 2]] = True
        test[order[ends - 1]] = True
        return validation, test


def _card(dataset: Dataset) -> ProtocolCard:
    order = "ties in time keep the source's row order"
    if not dataset.interactions.timed:
        order = "the data has no times, so the order is that of its rows"
    return ProtocolCard(
        name="leave_last_out",
        fitted_on="Each user's interactions before the last two positives; no second fit.",
        history=(
            "At validation the training rows, at test the training and the validation rows, all "
            f"earlier than the target; {order}."
        ),
        excluded="From a user's ranking, all items of that history.",
        candidates="All items of the catalog (full ranking).",
        positives=positives_rule(dataset),
    )
