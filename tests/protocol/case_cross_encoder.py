"""A cross-encoder joins both texts' token ids; a cascade keeps the best of what was found."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from rankloom.protocols import CandidateBatch, QueryBatch, RaggedIndices, Retriever, Scorer, Scores


class CrossEncoder(nn.Module):
    def __init__(self, backbone: nn.Module, hidden: int) -> None:
        super().__init__()
        self.backbone, self.head = backbone, nn.Linear(hidden, 1)

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        q, n, titles = len(queries), candidates.width, candidates.features("title")["ids"]
        asked = queries.features("text")["ids"].repeat_interleave(n, 0)
        pair = torch.cat([asked, titles.repeat(q, 1) if candidates.shared else titles], 1)
        states: Tensor = self.backbone(pair, attention_mask=pair > 0).last_hidden_state
        return Scores(self.head(states[:, 0]).view(q, n), "logit")


class Cascade:
    def __init__(self, retriever: Retriever, scorer: Scorer, cut: int) -> None:
        self.retriever, self.scorer, self.cut = retriever, scorer, cut

    def retrieve(self, queries: QueryBatch, k: int, out: RaggedIndices | None) -> CandidateBatch:
        found = self.retriever.retrieve(queries, self.cut, out)
        scores = self.scorer.score(queries, found).values
        best = scores.masked_fill(~found.allowed(len(queries)), -torch.inf).topk(k).indices
        return replace(found, items=found.items.gather(1, best), mask=None)
