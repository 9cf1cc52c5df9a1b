"""The split ``cold_items``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from rankloom.data.dataset import Dataset, Phase, ProtocolCard, SplitResult
from rankloom.protocols import Build
from rankloom_plugins.splits.plugin import ColdItemsConfig
from rankloom_plugins.splits.shared import Mask, checked, first_of_pair, positives_rule, rows_of

__all__ = ["ColdItems", "draw_stratified"]

#: Strata of popularity from which the same share is drawn.
STRATA = 10


class ColdItems:
    """Takes all interactions of some items out of training and ranks those items alone.

    Settings are chosen on a share of the remaining items that is made cold in the same way; the
    second fit sees all interactions of the remaining items.
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
        train, refit = ~(cold | pseudo)[items], ~cold[items]
        result = SplitResult(
            train=rows_of(train),
            validation=_phase(target & pseudo[items], train, pseudo),
            test=_phase(target & cold[items], refit, cold),
            card=self._card(dataset, int(pseudo.sum()), int(cold.sum())),
            refit=rows_of(refit),
            dropped={"with a cold item, not a target": int((cold[items] & ~target).sum())},
        )
        few = "There are too few items with positives: change 'fraction', or lower 'min_value'."
        return checked(result, {"train": few, "validation": few, "test": few})

    def _card(self, dataset: Dataset, n_pseudo: int, n_cold: int) -> ProtocolCard:
        return ProtocolCard(
            name=f"cold_items {100 * self.config.fraction:g} %",
            fitted_on=(
                "Settings are chosen without the cold and the pseudo-cold items; then a second fit "
                "on all interactions of all items that are not cold."
            ),
            history="All interactions with items that are not cold, whenever they happened.",
            excluded="Nothing more: nobody has interacted with a candidate before the test.",
            candidates=f"The {n_cold} cold items at test, the {n_pseudo} pseudo-cold ones before.",
            positives=positives_rule(dataset),
        )


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
