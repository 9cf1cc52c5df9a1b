"""A loaded data set and what a split makes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from rankloom.data.interactions import Interactions
from rankloom.data.tables import Table

__all__ = ["Dataset", "HistoryRule", "Phase", "ProtocolCard", "SplitResult"]

#: Which rows of its user are a training example's history.
HistoryRule = Literal["before", "others"]


@dataclass(frozen=True)
class Dataset:
    """Items, users and their interactions.

    Attributes:
        items: The catalog.
        users: The users.
        interactions: All interactions, in source order.
        positive: ``[n]`` bool: which interactions are positives.
        report: Counts worth printing: ``{"duplicates dropped": 3, ...}``.
        given_split: ``[n]`` int8, 0 train and 1 test, where the source comes divided (``files``).
        name: Printed in reports.
    """

    items: Table
    users: Table
    interactions: Interactions
    positive: Tensor
    report: Mapping[str, int] = field(default_factory=dict)
    given_split: Tensor | None = None
    name: str = ""

    @property
    def value_range(self) -> tuple[float, float]:
        """Lowest and highest value of any interaction: the scale that ratings are clamped to."""
        values = self.interactions.values
        given = values[~values.isnan()]
        return (float(given.min()), float(given.max())) if len(given) else (-math.inf, math.inf)


@dataclass(frozen=True)
class ProtocolCard:
    """What a protocol fixes and every report prints (full sentences, no jargon)."""

    name: str
    fitted_on: str
    history: str
    excluded: str
    candidates: str
    positives: str
    request_time: bool = False


@dataclass(frozen=True)
class Phase:
    """One judgement: which rows are to be found, and what each query may know.

    Attributes:
        targets: Interaction rows (positions in ``Dataset.interactions``) to be predicted; positives
            for ranking, rows with a value for ratings.
        history: Rows visible as history.
        excluded: Rows whose items are excluded from that user's ranking.
        candidates: ``[n_items]`` bool: items that may be ranked.
    """

    targets: Tensor
    history: Tensor
    excluded: Tensor
    candidates: Tensor


@dataclass(frozen=True)
class SplitResult:
    """How the rows are divided; all tensors hold positions in ``Dataset.interactions``.

    Attributes:
        train: Rows that the fit may see while settings are chosen on ``validation``.
        validation: Judged while training.
        test: Judged once, at the end.
        refit: Rows of a second fit with the chosen settings before ``test``, or None (no refit).
        dropped: Rows in no part, by reason (``{"later than the first held-out row": 12}``).
        card: What is printed.
        history_rule: What a training example's history holds unless the config says: earlier rows
            (``before``), or all others where the division does not follow time (``others``).
    """

    train: Tensor
    validation: Phase
    test: Phase
    card: ProtocolCard
    refit: Tensor | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    history_rule: HistoryRule = "before"
