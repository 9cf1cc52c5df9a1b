"""Two GPUs: each rank holds a part of the batch; in-batch negatives come from all ranks."""

import torch
import torch.distributed as dist
from torch import Tensor

from rankloom.protocols import CandidateBatch, Encoded, TrainBatch


def all_ranks(own: Tensor) -> Tensor:
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, own.detach())
    parts[dist.get_rank()] = own
    return torch.cat(parts)


def gathered(batch: TrainBatch, targets: Encoded) -> TrainBatch:
    drawn = CandidateBatch(all_ranks(batch.targets), encoded=Encoded(all_ranks(targets.vectors)))
    return batch.with_candidates(drawn, torch.arange(len(batch)) + len(batch) * dist.get_rank())


def loss(batch: TrainBatch, queries: Encoded, drawn: CandidateBatch, own: Tensor) -> Tensor:
    assert drawn.encoded
    logits = queries.vectors @ drawn.encoded.vectors.T
    repeated = (drawn.items == batch.targets[:, None]).scatter(1, own[:, None], value=False)
    return torch.nn.functional.cross_entropy(logits.masked_fill(repeated, -torch.inf), own)
