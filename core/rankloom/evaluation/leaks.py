"""Detectors of leaks and of progress that is none; each raises or says what it saw."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from rankloom.data.dataset import Phase, SplitResult
from rankloom.data.interactions import Interactions
from rankloom.errors import DataError
from rankloom.protocols.state import State
from rankloom.protocols.training import TrainData

__all__ = [
    "check_disjoint",
    "check_order",
    "check_reachable",
    "check_universe",
    "tied_share",
    "training_hash",
]


def check_disjoint(split: SplitResult) -> None:
    """Make sure that nothing fitted and no history holds a row that is to be predicted.

    Raises:
        DataError: A row is in two parts that must not share any.
    """
    pairs: list[tuple[str, Tensor, str, Tensor]] = []
    fitted = {"the training rows": split.train}
    if split.refit is not None:
        pairs.append(("the refit's rows", split.refit, "the test targets", split.test.targets))
    for judged, phase in (("validation", split.validation), ("test", split.test)):
        sources = fitted | {f"the {judged} history": phase.history}
        pairs += [(a, rows, f"the {judged} targets", phase.targets) for a, rows in sources.items()]
    validation = split.validation
    pairs.append(
        ("the validation history", validation.history, "the test targets", split.test.targets)
    )
    pairs.append(
        ("the validation targets", validation.targets, "the test targets", split.test.targets)
    )
    for a, rows, b, targets in pairs:
        shared = rows[torch.isin(rows, targets)]
        if shared.numel():
            raise DataError(
                f"{shared.numel()} rows are both in {a} and in {b}, the first at position "
                f"{int(shared[0])}: what is to be predicted was already seen. The split is wrong."
            )


def check_order(interactions: Interactions, phase: Phase) -> None:
    """Make sure that no user's history reaches beyond his first target, in (time, source row).

    For splits by time; a random split has targets amid the history.

    Raises:
        DataError: A history row is not strictly earlier than a target of the same user.
    """
    order = interactions.order()
    place = torch.empty_like(order)
    place[order] = torch.arange(order.shape[0])
    n_users = int(interactions.users.max()) + 1 if len(interactions) else 0
    users = interactions.users
    first = torch.full((n_users,), len(interactions))
    first.scatter_reduce_(0, users[phase.targets], place[phase.targets], "amin")
    late = phase.history[place[phase.history] > first[users[phase.history]]]
    if late.numel():
        row = int(late[0])
        raise DataError(
            f"{late.numel()} history rows are later than a target of the same user, the first at "
            f"position {row} (user index {int(users[row])}): the past would know the future."
        )


def check_reachable(interactions: Interactions, phase: Phase) -> list[str]:
    """Return warnings about targets that no ranking can show.

    A target whose item is no candidate, or is excluded for its user (bought before), counts as a
    miss whatever the model does.
    """
    targets = interactions.items[phase.targets]
    barred = int((~phase.candidates[targets]).sum())
    width = phase.candidates.shape[0]
    keys = interactions.users * width + interactions.items
    excluded = int(torch.isin(keys[phase.targets], keys[phase.excluded]).sum())
    counts = {
        f"{barred} of {len(targets)} targets are no candidates": barred,
        f"{excluded} of {len(targets)} targets are excluded from their user's ranking": excluded,
    }
    return [f"{text}; they count as misses." for text, count in counts.items() if count]


def tied_share(interactions: Interactions, targets: Tensor) -> float:
    """Return the share of targets that share their time with another row of the same user.

    For these the source's row order decides which one is the target.

    Args:
        interactions: All of them.
        targets: ``[t]`` positions in ``interactions``.
    """
    if not targets.numel():
        return 0.0
    pairs = torch.stack([interactions.users, interactions.times], dim=1)
    _, group, counts = torch.unique(pairs, dim=0, return_inverse=True, return_counts=True)
    return float((counts[group[targets]] > 1).to(torch.float64).mean())


def check_universe(
    train: TrainData, state: State | None = None, before: State | None = None
) -> tuple[str, ...]:
    """Make sure that items without a positive training interaction were not learned from.

    Only tensors with one row an item are looked at (popularity, item-item weights, id embeddings);
    hand over no tensor made of content alone, which may well differ for cold items.

    Args:
        train: What the component was fitted on.
        state: What it learned.
        before: The same before the fit: rows of unknown items must not have changed. Without it
            they must be 0 or NaN.

    Returns:
        Names of the tensors that were looked at.

    Raises:
        DataError: The universe is not the items of the positive rows, or a tensor knows another.
    """
    counted = torch.zeros_like(train.universe)
    counted[train.interactions.items[train.positive]] = True
    wrong = (counted != train.universe).nonzero()
    if wrong.numel():
        raise DataError(
            f"The training universe is wrong at {wrong.shape[0]} items, the first of index "
            f"{int(wrong[0, 0])}: it must be the items with a positive training interaction."
        )
    tensors: Mapping[str, Tensor] = {} if state is None else state.tensors
    cold = ~train.universe
    looked_at = [n for n, t in tensors.items() if t.dim() and t.shape[0] == train.n_items]
    for name in looked_at:
        rows = tensors[name].cpu()[cold]
        expected = torch.zeros_like(rows) if before is None else before.tensors[name].cpu()[cold]
        changed = ((rows != expected) & ~rows.isnan()).unsqueeze(-1).flatten(1).any(1)
        if bool(changed.any()):
            item = int(cold.nonzero()[changed][0, 0])
            raise DataError(
                f"The state {name!r} knows item {item}, which has no positive training row: "
                "something was fitted on rows it must not see."
            )
    return tuple(looked_at)


def training_hash(interactions: Interactions) -> str:
    """Return the sha256 of training rows, for the bundle: what exactly was fitted on."""
    digest = hashlib.sha256()
    columns = ("users", "items", "values", "times", "rows")
    for name in columns:
        digest.update(getattr(interactions, name).contiguous().numpy().tobytes())
    return digest.hexdigest()
