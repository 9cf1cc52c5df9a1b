"""What a loss is made of, and how several processes put their parts together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rankloom.training.ranks import all_sum, rank_and_world

__all__ = ["LossFunction", "Term", "combine"]


@dataclass(frozen=True)
class Term:
    """One weighted mean in a loss.

    Attributes:
        value: Scalar: the mean over this process's part of the batch.
        weight: Scalar: the sum of the weights that ``value`` is a mean over.
        factor: Its share in the whole loss (the weight of a task).
    """

    value: Tensor
    weight: Tensor | float = 1.0
    factor: float = 1.0


#: Batch → loss: terms, or one scalar, which counts as a mean over equal parts. It may have
#: ``seed(n)``, called at the start of each epoch for whatever it draws.
LossFunction = Callable[[Any], Tensor | Sequence[Term]]


def combine(loss: Tensor | Sequence[Term], counted: bool = True) -> tuple[Tensor, Tensor]:
    """Put terms together so that several processes train as one would on the whole batch.

    DDP averages gradients over ranks, but the loss of the whole batch is the mean over all of its
    rows, of which ranks may hold different numbers (histories differ in length). So each term is
    multiplied by its rank's share of the weight and by the number of ranks.

    Args:
        loss: What a loss function returned on this rank.
        counted: False where this rank's part of the batch stands in for nothing.

    Returns:
        What to differentiate on this rank, and the loss of the whole batch (detached, the same on
        all ranks).
    """
    terms = [Term(loss)] if isinstance(loss, Tensor) else loss
    world = rank_and_world()[1]
    if world == 1:
        total = terms[0].factor * terms[0].value
        for term in terms[1:]:
            total = total + term.factor * term.value
        return total, total.detach()
    values = torch.stack([term.value.float() for term in terms])
    weights = torch.stack([torch.as_tensor(t.weight, device=values.device) for t in terms])
    weights = weights.detach().to(values) * float(counted)
    sums = all_sum(torch.stack([weights, weights * values.detach()]))
    whole = sums[0].clamp(min=torch.finfo(sums.dtype).tiny)
    factors = values.new_tensor([term.factor for term in terms])
    total = (factors * values * weights / whole).sum() * world
    return total, (factors * sums[1] / whole).sum()
