"""SASRec over whatever vectors the item tower fuses; a sampled softmax with logQ correction."""

import torch
from torch import Tensor, nn

from rankloom.protocols import Encoded, Features, History, ScoreFunction, TrainBatch


class Sasrec(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim, self.block = dim, nn.TransformerEncoderLayer(dim, 1, dim, 0.0, batch_first=True)

    def collate(self, values: History) -> Features:
        return Features(values.crop(50), values.lengths > 0)

    def forward(self, features: Features) -> Encoded:
        mask, steps = features["mask"], features["mask"].shape[1]
        causal = torch.ones(steps, steps, dtype=torch.bool).triu(1)
        tokens = self.block(features["vectors"], src_mask=causal)
        last = (mask.sum(1) - 1).clamp(min=0)
        return Encoded(tokens[torch.arange(len(tokens)), last], tokens, mask)


def sampled_softmax(batch: TrainBatch, score: ScoreFunction) -> Tensor:
    if (drawn := batch.candidates) is None or drawn.log_q is None:
        raise LookupError("a sampled softmax needs a sampler that tells log_q")
    positive = score(batch.target_candidates()).values
    hit = drawn.expand(len(batch)) == batch.targets[:, None]
    negative = (score(drawn).values - drawn.log_q).masked_fill(hit, -torch.inf)
    return -torch.cat([positive, negative], 1).log_softmax(1)[:, 0].mean()
