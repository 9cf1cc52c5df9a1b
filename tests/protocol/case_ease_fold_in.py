"""EASE: fitted in closed form; any history, a new user's too, is folded in by one product."""

import torch
from torch import Tensor

from rankloom.protocols import CandidateBatch, QueryBatch, Scores, State, TrainData


def multi_hot(rows: Tensor, columns: Tensor, n: int, width: int) -> Tensor:
    return torch.zeros(n, width).index_put_((rows, columns), torch.ones(()))


class Ease:
    def fit(self, train: TrainData, strength: float = 10.0) -> None:
        log = train.interactions.select(train.positive)
        x = multi_hot(log.users, log.items, train.n_users, train.n_items)
        inverse = torch.linalg.inv(x.T @ x + strength * torch.eye(train.n_items))
        self.weights = (-inverse / inverse.diagonal()).fill_diagonal_(0)
        self.weights[:, ~train.universe] = torch.nan

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        known, events = queries.history.items.values >= 0, queries.history.items
        rows, columns = events.row_ids()[known], events.values[known]
        x = multi_hot(rows, columns, len(queries), len(self.weights))
        values = (x @ self.weights).masked_fill(x.sum(1, keepdim=True) == 0, torch.nan)
        return Scores(candidates.gather(values))

    def export_state(self) -> State:
        return State({"weights": self.weights})
