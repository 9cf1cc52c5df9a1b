"""SQN: a Q head beside the supervised one, over the same query tower; a slow copy as target."""

import copy
from collections.abc import Callable

from torch import Tensor, nn

from rankloom.protocols import Encoded, QueryBatch, Transition

Tower = Callable[[QueryBatch], Encoded]


class SqnHead(nn.Module):
    def __init__(self, dim: int, n_items: int) -> None:
        super().__init__()
        self.q = nn.Linear(dim, n_items, bias=False)
        self.slow = copy.deepcopy(self.q).requires_grad_(False)

    def loss(self, batch: Transition, model: Tower) -> Tensor:
        actions = batch.slates.items[:, :1]
        chosen = self.q(model(batch.queries).vectors).gather(1, actions)[:, 0]
        after = model(batch.next_queries).vectors.detach()
        best = self.slow(after).gather(1, self.q(after).argmax(1, keepdim=True))[:, 0]
        return nn.functional.mse_loss(chosen, batch.returns(best.detach()))

    def after_step(self, model: Tower) -> None:
        self.slow.weight.data.lerp_(self.q.weight.data, 0.01)
