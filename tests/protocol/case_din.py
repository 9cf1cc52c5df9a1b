"""DIN-style attention: every candidate attends to the history's tokens in its own way."""

import torch
from torch import Tensor, nn

from rankloom.protocols import CandidateBatch, QueryBatch, Scores


class Din(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.relevance = nn.Sequential(nn.Linear(3 * dim, hidden), nn.PReLU(), nn.Linear(hidden, 1))
        self.output = nn.Sequential(nn.Linear(2 * dim, hidden), nn.PReLU(), nn.Linear(hidden, 1))

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        assert candidates.encoded
        assert queries.encoded
        tokens, mask = queries.encoded.tokens, queries.encoded.mask
        if tokens is None or mask is None:
            raise LookupError("the query tower yields no tokens")
        q, t, d = tokens.shape
        items: Tensor = candidates.encoded.vectors.expand(q, -1, d)
        left = items[:, :, None].expand(-1, -1, t, -1)
        right = tokens[:, None].expand(-1, items.shape[1], -1, -1)
        weight = self.relevance(torch.cat([left, right, left * right], -1)).squeeze(-1)
        interest = (weight * mask[:, None]) @ tokens
        return Scores(self.output(torch.cat([items, interest], -1)).squeeze(-1), "logit")
