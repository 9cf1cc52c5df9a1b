"""The split ``files``."""

from __future__ import annotations

import numpy as np
import torch

from rankloom.data.dataset import Dataset, Phase, ProtocolCard, SplitResult
from rankloom.errors import DataError
from rankloom.protocols import Build
from rankloom_plugins.splits.plugin import FilesConfig
from rankloom_plugins.splits.shared import Mask, checked, positives_rule, rows_of

__all__ = ["GivenFiles"]


class GivenFiles:
    """Uses the training and test rows that the source's files give.

    Targets are rows with a value where the data has values (ratings), else positives.
    """

    def __init__(self, config: FilesConfig, build: Build) -> None:
        self.config = config

    def split(self, dataset: Dataset, seed: int) -> SplitResult:
        """Hold out validation rows by ``seed``.

        Raises:
            DataError: The source gives no test rows, or a part has no rows.
        """
        if dataset.given_split is None:
            raise DataError(
                "The split 'files' needs a source that comes divided, and this one does not. Give "
                "'train' and 'test' to the source 'movielens', or 'test_interactions' to 'tables'."
            )
        given_test = dataset.given_split.numpy() == 1
        judged = _judged(dataset)
        pool = np.flatnonzero(~given_test & judged)
        n = round(self.config.validation * len(pool))
        validation = np.zeros_like(given_test)
        validation[np.random.default_rng(seed).permutation(pool)[:n]] = True
        train = ~given_test & ~validation
        known, before = rows_of(~given_test), rows_of(train)
        everything = torch.ones(len(dataset.items), dtype=torch.bool)
        result = SplitResult(
            train=before,
            validation=Phase(rows_of(validation), before, before, everything),
            test=Phase(rows_of(given_test & judged), known, known, everything),
            card=self._card(dataset),
            refit=known if self.config.refit else None,
            dropped={"test rows without a value": int((given_test & ~judged).sum())},
            history_rule="others",  # the division does not follow time
        )
        more = "Enlarge 'validation', or give more training rows."
        none = "The given test file has no row that can be judged."
        return checked(result, {"train": more, "validation": more, "test": none})

    def _card(self, dataset: Dataset) -> ProtocolCard:
        share = 100 * self.config.validation
        again = "then a second fit on all of them" if self.config.refit else "no second fit"
        return ProtocolCard(
            name="files",
            fitted_on=f"The given training rows less {share:g} % for validation; {again}.",
            history=(
                "All other known rows of the user, whenever they happened: at validation the rows "
                "fitted on, at test all given training rows."
            ),
            excluded="From a user's ranking, the items of that history; ratings exclude nothing.",
            candidates="All items of the catalog (full ranking); for ratings the given pairs.",
            positives=positives_rule(dataset),
        )


def _judged(dataset: Dataset) -> Mask:
    """``[n]``: rows that may be targets."""
    rated: Mask = dataset.interactions.values.isfinite().numpy()
    return rated if rated.any() else dataset.positive.numpy()
