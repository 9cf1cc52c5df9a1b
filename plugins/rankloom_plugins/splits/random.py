"""The split ``random``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from rankloom.data.dataset import Dataset, Phase, ProtocolCard, SplitResult
from rankloom.protocols import Build
from rankloom_plugins.splits.plugin import RandomConfig
from rankloom_plugins.splits.shared import (
    LATER,
    REPEAT,
    Mask,
    checked,
    first_of_pair,
    later_than,
    positives_rule,
    rows_of,
    same_pair,
)

__all__ = ["RandomSplit", "part_sizes"]


class RandomSplit:
    """Divides each user's positives at random, in the sizes that RecBole's ``RS`` split gives.

    Every user and item pair is in one part. At test the history is training rows only, and both
    training and validation items are left out of the ranking; there is no second fit.
    """

    def __init__(self, config: RandomConfig, build: Build) -> None:
        self.config = config

    def split(self, dataset: Dataset, seed: int) -> SplitResult:
        """Divide by ``seed``.

        Raises:
            DataError: A part has no rows.
        """
        first = first_of_pair(dataset)
        validation, test = self._held_out(dataset, dataset.positive.numpy() & first, seed)
        held_out = validation | test
        repeats = same_pair(dataset, held_out) & ~held_out
        later = np.zeros_like(held_out)
        if dataset.interactions.timed:
            later = later_than(dataset, held_out) & ~dataset.positive.numpy() & ~repeats
        train = ~held_out & ~repeats & ~later
        everything = torch.ones(len(dataset.items), dtype=torch.bool)
        rows = rows_of(train)
        result = SplitResult(
            train=rows,
            validation=Phase(rows_of(validation), rows, rows, everything),
            test=Phase(rows_of(test), rows, rows_of(train | validation), everything),
            card=self._card(dataset),
            dropped={LATER: int(later.sum()), REPEAT: int(repeats.sum())},
            history_rule="others",  # the division does not follow time
        )
        few = "No user has enough positives: lower 'positive.min_value', or enlarge the share."
        return checked(result, {"train": few, "validation": few, "test": few})

    def _held_out(self, dataset: Dataset, eligible: Mask, seed: int) -> tuple[Mask, Mask]:
        """Return masks of the validation and the test rows."""
        config = self.config
        rows = np.flatnonzero(eligible)
        users = dataset.interactions.users.numpy()[rows]
        draw = np.random.default_rng(seed).random(len(rows))
        order = np.lexsort((draw, users))
        users, rows = users[order], rows[order]
        counts = np.bincount(users, minlength=len(dataset.users))
        rank = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        sizes = part_sizes(counts, config.train, config.validation, config.test)
        n_train, n_validation = sizes[users, 0], sizes[users, 1]
        in_train, in_test = rank < n_train, rank >= n_train + n_validation
        validation, test = np.zeros_like(eligible), np.zeros_like(eligible)
        validation[rows[~in_train & ~in_test]] = True
        test[rows[in_test]] = True
        return validation, test

    def _card(self, dataset: Dataset) -> ProtocolCard:
        shares = (self.config.train, self.config.validation, self.config.test)
        return ProtocolCard(
            name=f"random {'/'.join(f'{100 * share:g}' for share in shares)}",
            fitted_on="The training part of each user's positives; no second fit.",
            history="The training rows, at validation and at test.",
            excluded="From a user's ranking, the training items; at test the validation items too.",
            candidates="All items of the catalog (full ranking).",
            positives=positives_rule(dataset),
        )


def part_sizes(
    counts: npt.NDArray[np.int64], train: float, validation: float, test: float
) -> npt.NDArray[np.int64]:
    """Return rows of each part for users with ``counts`` ``[n]`` positives, ``[n, 3]``.

    Validation and test get their share rounded down, training the rest; a part whose share is
    below one row gets one, test first, as long as training keeps more than one (RecBole,
    ``Dataset._calcu_split_ids``).
    """
    ratios = (train, validation, test)
    # an epsilon keeps 0.1 * 30 and its like from falling below the whole number
    sizes = np.stack([np.floor(counts * ratio + 1e-9).astype(np.int64) for ratio in ratios], 1)
    sizes[:, 0] = counts - sizes[:, 1:].sum(1)
    open_ = np.ones(len(counts), dtype=bool)
    for part in (2, 1):
        open_ &= sizes[:, 0] > 1
        share = ratios[part] * counts
        short = open_ & (share > 0) & (share < 1 - 1e-9)
        sizes[short, part] += 1
        sizes[short, 0] -= 1
    return sizes
