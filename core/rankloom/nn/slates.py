"""Slates slot by slot: what every policy that asks guards has in common.

Before each slot the guards' penalties are taken off the utilities, items already shown leave the
support, and what a policy does with the rest is its own matter: a *chooser* picks a column, a
*rater* gives the log-probability of a logged one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from rankloom.errors import PluginError
from rankloom.protocols import Guard, GuardBase, ScoredCandidates, Slates

__all__ = [
    "Chooser",
    "Rater",
    "fill_slots",
    "gumbel",
    "pack_slates",
    "rate_slots",
    "sequential_log_probs",
    "silent",
    "stable_topk",
]

#: ``[q, n]`` utilities (-inf: not in the support) → chosen column ``[q]`` and log-probability
#: ``[q]``. Rows without support may answer anything.
Chooser = Callable[[Tensor], tuple[Tensor, Tensor]]

#: ``[q, n]`` utilities and columns ``[q]`` → log-probability of choosing them ``[q]``.
Rater = Callable[[Tensor, Tensor], Tensor]


def silent(guards: Sequence[Guard]) -> bool:
    """Return True if no guard can penalise: none overrides ``GuardBase.penalty``."""
    return all(getattr(type(guard), "penalty", None) is GuardBase.penalty for guard in guards)


def fill_slots(
    scored: ScoredCandidates, k: int, guards: Sequence[Guard], choose: Chooser
) -> Slates:
    """Fill ``k`` slots one after another.

    Args:
        scored: Candidates with scores; each item occurs at most once in a row.
        k: Slots.
        guards: Asked before every slot with what is in the slate so far.
        choose: Picks a column out of ``[q, n]`` utilities.

    Returns:
        Slates whose slots are empty (-1, NaN, 0) where nothing was allowed.
    """
    utilities = scored.utilities()
    q = utilities.shape[0]
    items = scored.candidates.expand(q)
    columns = torch.full((q, k), -1, dtype=torch.long, device=utilities.device)
    prefix = torch.full_like(columns, -1)
    log_probs = utilities.new_zeros(q, k)
    for slot in range(k):
        support = _support(scored, utilities, guards, prefix[:, :slot])
        possible = (support > -torch.inf).any(1) if support.shape[1] else _none(support)
        if not bool(possible.any()):
            # Penalties may be lifted by what is shown, but an empty slot changes no prefix.
            break
        chosen, log_prob = choose(support)
        columns[:, slot] = torch.where(possible, chosen, -1)
        log_probs[:, slot] = torch.where(possible, log_prob.to(log_probs.dtype), 0.0)
        shown = items.gather(1, chosen[:, None])[:, 0]
        prefix[:, slot] = torch.where(possible, shown, -1)
        utilities = _without(utilities, columns[:, slot])
    return pack_slates(scored, columns, log_probs)


def rate_slots(
    scored: ScoredCandidates, slates: Slates, guards: Sequence[Guard], rate: Rater
) -> Tensor:
    """Return ``[q, k]`` log-probabilities of logged choices, given the logged earlier slots.

    An item that is not a candidate, was shown earlier or is forbidden has -inf. Empty slots are no
    choice and have 0.
    """
    utilities = scored.utilities()
    q, k = slates.items.shape
    out = utilities.new_zeros(q, k)
    items = scored.candidates.expand(q)
    for slot in range(k):
        logged = slates.items[:, slot]
        match = (items == logged[:, None]) & (logged >= 0)[:, None]
        found, columns = (
            match.max(1) if match.shape[1] else (_none(match), torch.zeros_like(logged))
        )
        support = _support(scored, utilities, guards, slates.items[:, :slot])
        value = out.new_full((q,), -torch.inf)
        if match.shape[1]:
            inside = found & (support.gather(1, columns[:, None])[:, 0] > -torch.inf)
            rated = rate(support, columns).to(out.dtype)
            value = torch.where(inside, rated, value)
        out[:, slot] = torch.where(logged < 0, torch.zeros_like(value), value)
        utilities = _without(utilities, torch.where(found, columns, -1))
    return out


def pack_slates(scored: ScoredCandidates, columns: Tensor, log_probs: Tensor) -> Slates:
    """Make slates of chosen candidate columns ``[q, k]``, -1 at empty slots."""
    values = scored.scores.values
    if not values.shape[1]:
        return Slates(columns, values.new_full(columns.shape, torch.nan), log_probs)
    at, filled = columns.clamp(min=0), columns >= 0
    return Slates(
        torch.where(filled, scored.candidates.at(at), -1),
        torch.where(filled, values.gather(1, at), torch.nan),
        torch.where(filled, log_probs, 0.0),
    )


def stable_topk(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Largest ``k`` of each row of ``[q, n]``, best first, ties by lower column.

    ``torch.topk`` leaves the order of ties open; where there are any, the columns are put in order,
    and rows whose ties cross the k-th place are gone through once more, without sorting them whole.

    Returns:
        Values and columns, both ``[q, min(k, n)]``.
    """
    k = min(k, values.shape[1])
    if k == 0:
        empty = values[:, :0]
        return empty, torch.zeros_like(empty, dtype=torch.long)
    best = values.topk(min(k + 1, values.shape[1]), dim=1)  # one more, to see ties at the cut
    if not _any_ties(best.values):
        return best.values[:, :k], best.indices[:, :k]
    columns = best.indices[:, :k].sort(dim=1).values
    top, order = values.gather(1, columns).sort(dim=1, descending=True, stable=True)
    columns = columns.gather(1, order)
    cut = top[:, -1:]
    crossing = (best.values[:, k:] == cut).any(1) & (cut[:, 0] > -torch.inf)
    if bool(crossing.any()):
        for row in crossing.nonzero()[:, 0].tolist():
            last = top[row] == cut[row]
            tied = (values[row] == cut[row]).nonzero()[:, 0]
            columns[row, last] = tied[: int(last.sum())]  # lower columns first
    return top, columns


def _any_ties(ordered: Tensor) -> bool:
    """Return whether neighbours are equal in any row of ``[q, m]``."""
    if len(ordered) == 1:  # one request: a list is looked through before a kernel has started
        values: list[float] = ordered.tolist()[0]
        return any(a == b for a, b in pairwise(values))
    return bool((ordered[:, 1:] == ordered[:, :-1]).any())


def gumbel(like: Tensor, generator: torch.Generator) -> Tensor:
    """Return standard Gumbel noise of the shape, type and device of ``like``.

    It is drawn where the generator lives, so that a seed means the same on every device.
    """
    noise = torch.empty(like.shape, dtype=like.dtype, device=generator.device)
    return -noise.exponential_(generator=generator).log().to(like.device)


def sequential_log_probs(logits: Tensor, columns: Tensor) -> Tensor:
    """Plackett-Luce log-probability of each pick given the earlier ones.

    ``log p_j = l_j - logsumexp(l over everything not picked before j)``, all slots at once: the
    normalisers are reversed cumulative logsumexps over the picks, on top of what is never picked.

    Args:
        logits: ``[q, n]``, -inf outside the support.
        columns: ``[q, k]`` distinct columns, picks in order; picks outside the support come last
            and yield NaN, which the caller overwrites.

    Returns:
        ``[q, k]``.
    """
    picked = logits.gather(1, columns)
    rest = logits.scatter(1, columns, -torch.inf).logsumexp(1, keepdim=True)
    tail = picked.flip(1).logcumsumexp(1).flip(1)
    return picked - torch.logaddexp(tail, rest)


def _support(
    scored: ScoredCandidates, utilities: Tensor, guards: Sequence[Guard], prefix: Tensor
) -> Tensor:
    for guard in guards:
        penalty = guard.penalty(scored, prefix)
        if penalty is not None:
            _check_penalty(guard, penalty, utilities)
            # An infinite penalty of either sign forbids: a slip of the sign must not force an item
            # into the slate, nor bring back (inf - inf = NaN) what is out of the support.
            utilities = torch.where(penalty.isinf(), -torch.inf, utilities - penalty)
    return utilities


def _check_penalty(guard: Guard, penalty: Tensor, utilities: Tensor) -> None:
    """Check what a guard takes off.

    Raises:
        PluginError: It is no float tensor of the utilities' shape, or holds NaN.
    """
    who = f"{type(guard).__module__}.{type(guard).__qualname__}.penalty"
    shape = list(utilities.shape)
    if not isinstance(penalty, Tensor) or not penalty.is_floating_point():
        said = penalty.dtype if isinstance(penalty, Tensor) else type(penalty).__qualname__
        raise PluginError(
            f"{who} returned {said}; it must return a float tensor {shape}: what is taken off each "
            f"score, infinity where an item is forbidden, or None."
        )
    if penalty.shape != utilities.shape:
        raise PluginError(f"{who} returned the shape {list(penalty.shape)}; it must be {shape}.")
    if bool(penalty.isnan().any()):
        raise PluginError(f"{who} returned NaN; a penalty that is not known is 0.")


def _without(utilities: Tensor, columns: Tensor) -> Tensor:
    """Utilities with one column a row (-1: none) taken out of the support."""
    if not utilities.shape[1]:
        return utilities
    taken = torch.zeros_like(utilities, dtype=torch.bool)
    taken.scatter_(1, columns.clamp(min=0)[:, None], (columns >= 0)[:, None])
    return utilities.masked_fill(taken, -torch.inf)


def _none(like: Tensor) -> Tensor:
    return torch.zeros(like.shape[0], dtype=torch.bool, device=like.device)
