"""SQN: a Q head beside the supervised one, over the same query tower; a slow copy as target."""

import copy
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from rankloom.protocols import Encoded, QueryBatch

Tower = Callable[[QueryBatch], Encoded]


class Transition(NamedTuple):
    now: QueryBatch
    actions: Tensor
    rewards: Tensor
    after: QueryBatch
    done: Tensor


class SqnHead(nn.Module):
    def __init__(self, dim: int, n_items: int) -> None:
        super().__init__()
        self.q = nn.Linear(dim, n_items, bias=False)
        self.slow = copy.deepcopy(self.q).requires_grad_(False)

    def loss(self, batch: Transition, model: Tower) -> Tensor:
        chosen = self.q(model(batch.now).vectors).gather(1, batch.actions[:, None])[:, 0]
        after = model(batch.after).vectors.detach()
        best = self.slow(after).gather(1, self.q(after).argmax(1, keepdim=True))[:, 0]
        return nn.functional.mse_loss(chosen, batch.rewards + 0.5 * best.detach() * ~batch.done)

    def after_step(self, model: Tower) -> None:
        self.slow.weight.data.lerp_(self.q.weight.data, 0.01)
