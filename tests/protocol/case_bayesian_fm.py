"""A Bayesian factorisation machine for ratings (Langevin draws): mean, std and samples."""

import torch
from torch import Tensor

from rankloom.protocols import CandidateBatch, QueryBatch, Scores, TrainData


class BayesianFm:
    def fit(self, train: TrainData, genres: Tensor, steps: int = 400, rate: float = 2e-2) -> None:
        log = train.interactions.select(~train.interactions.values.isnan())
        noise, self.n = torch.Generator().manual_seed(train.seed), (train.n_users, train.n_items)
        w, self.draws = torch.zeros(sum(self.n) + genres.shape[1], 5), list[Tensor]()
        for _ in range(steps):
            w = (w + rate**0.5 * torch.randn(w.shape, generator=noise)).requires_grad_()
            error = self.predict(w, log.users, log.items, genres[log.items]) - log.values
            slope = torch.autograd.grad((error**2).sum() + (w**2).sum(), w)[0]
            w = w.detach() - rate / 4 * slope
            self.draws = [*self.draws, w][-steps // 2 :]

    def predict(self, w: Tensor, users: Tensor, items: Tensor, genres: Tensor) -> Tensor:
        item, tag = w[self.n[0] : sum(self.n)][items], w[sum(self.n) :]
        v = torch.stack([w[users].expand_as(item), item, (genres @ tag).expand_as(item)])
        return 3 + v[..., 0].sum(0) + (v.sum(0) ** 2 - (v**2).sum(0))[..., 1:].sum(-1) / 2

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        genres = candidates.features("genres")["values"].view(*candidates.items.shape, -1)
        asked = (queries.users[:, None], candidates.expand(len(queries)), genres)
        drawn = torch.stack([self.predict(w, *asked) for w in self.draws])
        one = lambda g: drawn[torch.randint(len(drawn), (), generator=g)]  # noqa: E731
        return Scores(drawn.mean(0), "rating", drawn.std(0), one)
