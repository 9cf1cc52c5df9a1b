"""Parts of a phase that are judged apart; each is a phase of its own.

A slice is evaluated like any phase, in blocks of queries, by the same accumulators. None of these
functions makes anything larger than the phase's own rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from rankloom.data.dataset import Dataset, Phase

__all__ = ["by_item_count", "cut_histories", "fitted_positives", "of_kind", "ranked_targets"]


def fitted_positives(dataset: Dataset, fitted: Tensor) -> Tensor:
    """Return ``[n_items]`` int64: positives of each item among the rows fitted on.

    An item is *warm* if it has one, else *cold*: outside the training universe.

    Args:
        dataset: The data.
        fitted: Positions of the rows in ``dataset.interactions``.
    """
    rows = fitted[dataset.positive[fitted]]
    return torch.bincount(dataset.interactions.items[rows], minlength=len(dataset.items))


def ranked_targets(dataset: Dataset, phase: Phase) -> Tensor:
    """Return the phase's targets that rankings are judged by: its positives."""
    return phase.targets[dataset.positive[phase.targets]]


def of_kind(dataset: Dataset, phase: Phase, members: Tensor) -> Phase:
    """Return a phase that ranks some items alone, and judges the targets among them.

    What is excluded from a user's ranking, and his history, stay as they are. A user without a
    target among the members is no query.

    Args:
        dataset: The data.
        phase: The whole.
        members: ``[n_items]`` bool, such as the warm items.
    """
    targets = ranked_targets(dataset, phase)
    part = targets[members[dataset.interactions.items[targets]]]
    return _of_queries(dataset, replace(phase, targets=part, candidates=phase.candidates & members))


def by_item_count(
    dataset: Dataset, phase: Phase, counts: Tensor, numbers: Sequence[int]
) -> list[Phase]:
    """Return one phase for each number of positives that the targets' items have.

    The i-th phase judges the targets whose item has at least ``numbers[i]`` and fewer than
    ``numbers[i + 1]`` positives; the last has no upper bound. All candidates of the whole phase
    stay, less the user's other targets, which are excluded as if he had seen them: they would push
    down what is judged without being judged. A user without a target of the group is no query.

    Args:
        dataset: The data.
        phase: The whole.
        counts: ``[n_items]`` of :func:`fitted_positives`.
        numbers: Ascending.
    """
    targets = ranked_targets(dataset, phase)
    of_target = counts[dataset.interactions.items[targets]]
    phases = []
    for low, high in zip(numbers, [*numbers[1:], None], strict=True):
        inside = of_target >= low
        if high is not None:
            inside &= of_target < high
        excluded = torch.cat([phase.excluded, targets[~inside]])
        part = replace(phase, targets=targets[inside], excluded=excluded)
        phases.append(_of_queries(dataset, part))
    return phases


def cut_histories(dataset: Dataset, phase: Phase, numbers: Sequence[int]) -> list[Phase]:
    """Return one phase for each length to which histories are cut.

    Users are those with a target and a history of at least the largest number of positives, so
    that n means n for everybody. Of each only the first n positives, in (time, source row), are
    known. Users, targets, candidates and what is excluded from the ranking (all rows that the whole
    phase excludes, known or not) are the same for every n, so that values pair up.

    Args:
        dataset: The data.
        phase: The whole.
        numbers: Ascending; 0 leaves no history.
    """
    log = dataset.interactions
    n_users = len(dataset.users)
    known = phase.history[dataset.positive[phase.history]]
    known = known[log.select(known).order()]
    users = log.users[known]
    lengths = torch.bincount(users, minlength=n_users)
    rank = torch.arange(len(known)) - (lengths.cumsum(0) - lengths)[users]
    targets = ranked_targets(dataset, phase)
    targets = targets[lengths[log.users[targets]] >= max(numbers)]
    whole = _of_queries(dataset, replace(phase, targets=targets))
    judged = _mask(log.users[targets], n_users)[users]
    return [replace(whole, history=known[judged & (rank < n)]) for n in numbers]


def _of_queries(dataset: Dataset, phase: Phase) -> Phase:
    """The same without rows of users that are no query: what is sorted later is only the rest."""
    users = dataset.interactions.users
    queries = _mask(users[phase.targets], len(dataset.users))
    return replace(
        phase,
        history=phase.history[queries[users[phase.history]]],
        excluded=phase.excluded[queries[users[phase.excluded]]],
    )


def _mask(indices: Tensor, n: int) -> Tensor:
    mask = torch.zeros(n, dtype=torch.bool)
    mask[indices] = True
    return mask
