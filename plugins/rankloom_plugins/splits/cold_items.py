"""The split ``cold_items``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from rankloom.data.dataset import Dataset, Phase, ProtocolCard, SplitResult
from rankloom.protocols import Build
from rankloom_plugins.splits.plugin import ColdItemsConfig
from rankloom_plugins.splits.random import part_sizes
from rankloom_plugins.splits.shared import (
    REPEAT,
    Mask,
    checked,
    first_of_pair,
    positives_rule,
    rows_of,
    same_pair,
)

__all__ = ["ColdItems", "draw_stratified", "draw_warm"]

#: Strata of popularity from which the same share is drawn.
STRATA = 10


class ColdItems:
    """Takes all interactions of some items out of training and ranks those items alone.

    Settings are chosen on a share of the remaining items that is made cold in the same way; the
    second fit sees all interactions of the remaining items. With ``warm_test`` a share of each
    user's positives with the remaining items is held out too, by seed and whenever they happened,
    once for the test and once for validation, and all items that anybody took are ranked. The only
    training positives of an item are never held out: a warm item stays warm.
    """

    def __init__(self, config: ColdItemsConfig, build: Build) -> None:
        self.config = config

    def split(self, dataset: Dataset, seed: int) -> SplitResult:
        """Divide by ``seed``.

        Raises:
            DataError: A part has no rows.
        """
        log = dataset.interactions
        items, positive = log.items.numpy(), dataset.positive.numpy()
        popularity = np.bincount(items[positive], minlength=len(dataset.items))
        generator = np.random.default_rng(seed)
        cold = draw_stratified(popularity, self.config.fraction, generator)
        warm = np.where(cold, 0, popularity)
        pseudo = draw_stratified(warm, self.config.validation_fraction, generator)
        target = positive & first_of_pair(dataset)
        refit = ~cold[items]
        # A share of what is left after the test's, so that both parts are of one size.
        share = self.config.warm_test
        tested = draw_warm(dataset, target & refit, refit, share, generator)
        repeats = same_pair(dataset, tested) & ~tested & refit
        refit = refit & ~tested & ~repeats
        train = refit & ~pseudo[items]
        judged = draw_warm(dataset, target & train, train, share / (1 - share), generator)
        train = train & ~same_pair(dataset, judged)
        ranked = (pseudo, cold)
        if share:
            ranked = ((popularity > 0) & ~cold, popularity > 0)
        validation = (target & pseudo[items] & refit) | judged
        result = SplitResult(
            train=rows_of(train),
            validation=_phase(validation, train, ranked[0]),
            test=_phase((target & cold[items]) | tested, refit, ranked[1]),
            card=self._card(dataset, int(pseudo.sum()), int(cold.sum()), int(tested.sum())),
            refit=rows_of(refit),
            dropped={
                "with a cold item, not a target": int((cold[items] & ~target).sum()),
                REPEAT: int(repeats.sum()),
            },
        )
        few = "There are too few items with positives: change 'fraction', or lower 'min_value'."
        return checked(result, {"train": few, "validation": few, "test": few})

    def _card(self, dataset: Dataset, n_pseudo: int, n_cold: int, n_warm: int) -> ProtocolCard:
        cold = f"the {n_cold} cold items at test, the {n_pseudo} pseudo-cold ones before"
        if self.config.warm_test:
            return ProtocolCard(
                name=(
                    f"cold_items {100 * self.config.fraction:g} %, and "
                    f"{100 * self.config.warm_test:g} % of the positives with warm items"
                ),
                fitted_on=(
                    "Settings are chosen without the cold, the pseudo-cold and the held-out warm "
                    f"positives; then a second fit on all but the cold items and the {n_warm} warm "
                    "positives of the test."
                ),
                history="All interactions fitted on, whenever they happened.",
                excluded="From a user's ranking, all items of that history.",
                candidates=f"All items with a positive, among them {cold}.",
                positives=positives_rule(dataset),
            )
        return ProtocolCard(
            name=f"cold_items {100 * self.config.fraction:g} %",
            fitted_on=(
                "Settings are chosen without the cold and the pseudo-cold items; then a second fit "
                "on all interactions of all items that are not cold."
            ),
            history="All interactions with items that are not cold, whenever they happened.",
            excluded="Nothing more: nobody has interacted with a candidate before the test.",
            candidates=f"{cold[0].upper()}{cold[1:]}.",
            positives=positives_rule(dataset),
        )


def draw_warm(
    dataset: Dataset, eligible: Mask, fitted: Mask, share: float, generator: np.random.Generator
) -> Mask:
    """Draw a share of each user's positives.

    Args:
        dataset: The data.
        eligible: ``[n]``: rows that may be drawn.
        fitted: ``[n]``: rows that are fitted on if nothing is drawn. An item all of whose positives
            among them would be drawn keeps all of them.
        share: Of each user's eligible rows; rounded down, but one where the user has more than one.
        generator: Draws; not asked where ``share`` is 0.

    Returns:
        ``[n]`` bool.
    """
    drawn = np.zeros_like(eligible)
    if not share:
        return drawn
    rows = np.flatnonzero(eligible)
    users = dataset.interactions.users.numpy()[rows]
    order = np.lexsort((generator.random(len(rows)), users))
    users, rows = users[order], rows[order]
    counts = np.bincount(users, minlength=len(dataset.users))
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    drawn[rows[rank < part_sizes(counts, 1 - share, 0.0, share)[users, 2]]] = True
    items = dataset.interactions.items.numpy()
    left = fitted & ~same_pair(dataset, drawn) & dataset.positive.numpy()
    remaining = np.bincount(items[left], minlength=len(dataset.items))
    kept: Mask = drawn & (remaining[items] > 0)
    return kept


def draw_stratified(
    popularity: npt.NDArray[np.int64], fraction: float, generator: np.random.Generator
) -> Mask:
    """Draw a share of the items with interactions, the same from every popularity decile.

    Args:
        popularity: ``[n_items]`` positives of each item; items with 0 are never drawn.
        fraction: Share to draw; the total is rounded, not each stratum.
        generator: Draws, and breaks ties of popularity.

    Returns:
        ``[n_items]`` bool.
    """
    known = np.flatnonzero(popularity > 0)
    ranked = known[np.lexsort((generator.random(len(known)), popularity[known]))]
    chosen = np.zeros(len(popularity), dtype=bool)
    taken = seen = 0
    for stratum in np.array_split(ranked, STRATA):
        seen += len(stratum)
        n = round(fraction * seen) - taken
        chosen[generator.permutation(stratum)[:n]] = True
        taken += n
    return chosen


def _phase(targets: Mask, known: Mask, candidates: Mask) -> Phase:
    rows = rows_of(known)
    return Phase(rows_of(targets), rows, rows, torch.from_numpy(candidates))
