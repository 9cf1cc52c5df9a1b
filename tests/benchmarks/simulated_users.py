"""Users who click on products by type and colour, which no model is shown.

The law, fixed with its seed:

* A **combination** is an article type with a base colour; only those of at least ``MIN_ITEMS``
  products are anybody's taste.
* A user likes 2 or 3 combinations (equally likely), drawn evenly without replacement.
* A user makes ``CLICKS`` clicks, one after another, each on a product that the user has not clicked
  on before. With chance ``NOISE`` it is any product of the catalog, evenly. Otherwise one of the
  user's combinations is drawn evenly, then one of its products evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

__all__ = ["CLICKS", "MIN_ITEMS", "NOISE", "SimulatedUsers", "simulate"]

CLICKS = 20
NOISE = 0.2
MIN_ITEMS = 10


@dataclass(frozen=True)
class SimulatedUsers:
    """What was simulated.

    Attributes:
        clicks: Columns ``user``, ``item`` and ``time`` (the number of the click), user by user.
        liked: By user, the products that an oracle would name: those of the user's combinations.
    """

    clicks: pl.DataFrame
    liked: dict[str, list[int]]


def simulate(
    items: Sequence[int],
    types: Sequence[str],
    colours: Sequence[str],
    n_users: int = 2000,
    seed: int = 0,
) -> SimulatedUsers:
    """Simulate users.

    Args:
        items: Ids of the ``n`` products.
        types: Article type of each.
        colours: Base colour of each.
        n_users: How many.
        seed: The same seed gives the same clicks.
    """
    rng = np.random.default_rng(seed)
    groups: dict[tuple[str, str], list[int]] = {}
    for row, pair in enumerate(zip(types, colours, strict=True)):
        groups.setdefault(pair, []).append(row)
    tastes = [rows for _, rows in sorted(groups.items()) if len(rows) >= MIN_ITEMS]
    ids = np.asarray(items)
    clicks: dict[str, list[object]] = {"user": [], "item": [], "time": []}
    liked: dict[str, list[int]] = {}
    for user in range(n_users):
        own = rng.choice(len(tastes), size=rng.integers(2, 4), replace=False)
        chosen = _clicks([tastes[taste] for taste in own], len(ids), rng)
        name = f"u{user}"
        clicks["user"] += [name] * CLICKS
        clicks["item"] += ids[chosen].tolist()
        clicks["time"] += range(CLICKS)
        liked[name] = ids[np.concatenate([tastes[taste] for taste in own])].tolist()
    return SimulatedUsers(pl.DataFrame(clicks), liked)


def _clicks(combinations: list[list[int]], n_items: int, rng: np.random.Generator) -> list[int]:
    chosen: list[int] = []
    while len(chosen) < CLICKS:
        if rng.random() < NOISE:
            row = int(rng.integers(n_items))
        else:
            rows = combinations[rng.integers(len(combinations))]
            row = int(rows[rng.integers(len(rows))])
        if row not in chosen:
            chosen.append(row)
    return chosen
