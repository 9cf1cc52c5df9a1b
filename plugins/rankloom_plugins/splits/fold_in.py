"""The split ``fold_in``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from rankloom.data.dataset import Dataset, Phase, ProtocolCard, SplitResult
from rankloom.protocols import Build
from rankloom_plugins.splits.plugin import FoldInConfig
from rankloom_plugins.splits.shared import (
    Mask,
    checked,
    first_of_pair,
    positives_rule,
    require_times,
    rows_of,
)

__all__ = ["FoldIn"]

NEITHER = "of a held-out user, after the support and not a target"


class FoldIn:
    """Takes some users out of training; the first positives of each are known, the rest judged.

    The support is a held-out user's first ``support`` positives in (time, source row), with
    whatever rows of the user lie between them. Targets are all later positives that are the user's
    first interaction with their item. A user without a target stays in training.
    """

    def __init__(self, config: FoldInConfig, build: Build) -> None:
        self.config = config

    def split(self, dataset: Dataset, seed: int) -> SplitResult:
        """Draw users by ``seed``.

        Raises:
            DataError: Positives lack times that others have, or a part has no rows.
        """
        require_times(dataset, "fold_in")
        users = dataset.interactions.users.numpy()
        support = self._support(dataset)
        target = dataset.positive.numpy() & first_of_pair(dataset) & ~support
        judged, tested = self._draw(users, target, len(dataset.users), seed)
        of_judged, of_tested = judged[users], tested[users]
        held_out = of_judged | of_tested
        result = SplitResult(
            train=rows_of(~held_out),
            validation=_phase(dataset, target & of_judged, support & of_judged),
            test=_phase(dataset, target & of_tested, support & of_tested),
            card=self._card(dataset, int(judged.sum()), int(tested.sum())),
            refit=rows_of(~of_tested),
            dropped={NEITHER: int((of_tested & ~support & ~target).sum())},
        )
        few = (
            f"Too few users have more than {self.config.support} positives: lower 'support' or "
            f"'positive.min_value', or change the fractions."
        )
        return checked(result, {"train": few, "validation": few, "test": few})

    def _support(self, dataset: Dataset) -> Mask:
        """``[n]``: True at rows no later than their user's ``support``-th positive."""
        log = dataset.interactions
        order = log.order().numpy()
        users, positive = log.users.numpy()[order], dataset.positive.numpy()[order]
        starts = np.flatnonzero(np.concatenate([[True], np.diff(users) != 0]))
        lengths = np.diff(np.append(starts, len(users)))
        before = np.cumsum(positive) - positive
        rank = before - np.repeat(before[starts], lengths)  # positives strictly before the row
        support = np.empty(len(log), dtype=bool)
        support[order] = rank < self.config.support
        return support

    def _draw(
        self, users: npt.NDArray[np.int64], target: Mask, n: int, seed: int
    ) -> tuple[Mask, Mask]:
        """Return masks ``[n]`` of the users judged at validation and at test."""
        able = np.unique(users[target])
        drawn = np.random.default_rng(seed).permutation(able)
        n_test = round(self.config.fraction * len(able))
        n_validation = round(self.config.validation_fraction * len(able))
        judged, tested = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        tested[drawn[:n_test]] = True
        judged[drawn[n_test : n_test + n_validation]] = True
        return judged, tested

    def _card(self, dataset: Dataset, n_judged: int, n_tested: int) -> ProtocolCard:
        support = self.config.support
        order = "ties in time keep the source's row order"
        if not dataset.interactions.timed:
            order = "the data has no times, so the order is that of its rows"
        return ProtocolCard(
            name=f"fold_in {100 * self.config.fraction:g} % of the users, support {support}",
            fitted_on=(
                f"Settings are chosen on {n_judged} users that are in no training; then a second "
                f"fit on all interactions of all but the {n_tested} test users."
            ),
            history=f"Each user's first {support} positives; {order}.",
            excluded="From a user's ranking, all items up to the last of these positives.",
            candidates="All items of the catalog (full ranking).",
            positives=positives_rule(dataset),
        )


def _phase(dataset: Dataset, targets: Mask, known: Mask) -> Phase:
    rows = rows_of(known)
    everything = torch.ones(len(dataset.items), dtype=torch.bool)
    return Phase(rows_of(targets), rows, rows, everything)
