"""A blend is a scorer of scorers: z-scores per query, weights calibrated on validation."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rankloom.protocols import CandidateBatch, QueryBatch, Scorer, Scores, ValidationData


class Blend:
    def __init__(self, parts: Sequence[Scorer]) -> None:
        self.parts, self.weights = parts, torch.ones(len(parts)) / len(parts)

    def stacked(self, queries: QueryBatch, candidates: CandidateBatch) -> Tensor:
        raw = torch.stack([part.score(queries, candidates).values for part in self.parts])
        raw = raw.masked_fill(~candidates.allowed(len(queries)), torch.nan)
        centred = raw - raw.nanmean(-1, keepdim=True)
        return centred / (centred**2).nanmean(-1, keepdim=True).sqrt().clamp(min=1e-9)

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        z = self.stacked(queries, candidates)
        weights = self.weights[:, None, None] * ~z.isnan()
        return Scores((z.nan_to_num() * weights).sum(0) / weights.sum(0))

    def calibrate(self, validation: ValidationData) -> None:
        gains = torch.zeros(len(self.parts))
        for block in validation:
            z = self.stacked(block.queries, block.candidates).nan_to_num()
            column = {int(item): n for n, item in enumerate(block.candidates.items)}
            at = torch.tensor([column[int(item)] for item in block.targets.values])
            gains += z[:, block.targets.row_ids(), at].sum(1)
        self.weights = gains.softmax(0)
