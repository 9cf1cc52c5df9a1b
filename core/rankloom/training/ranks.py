"""Several processes: who am I, and sums and rows over all of us.

Without a process group everything here is the identity, so that callers need no special case.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["all_rows", "all_sum", "rank_and_world"]


def rank_and_world() -> tuple[int, int]:
    """Return this process's rank and the number of processes, (0, 1) without a process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def all_sum(own: Tensor) -> Tensor:
    """Return the sum over all ranks; every rank must call it with the same shape."""
    if rank_and_world()[1] == 1:
        return own
    total = own.detach().clone()
    dist.all_reduce(total)
    return total


def all_rows(own: Tensor) -> tuple[Tensor, int]:
    """Return the rows ``[n, ...]`` of all ranks one after another, and where our own start.

    Ranks may have different numbers of rows. Nothing is differentiated through.
    """
    rank, world = rank_and_world()
    if world == 1:
        return own, 0
    sizes = [torch.zeros(1, dtype=torch.long, device=own.device) for _ in range(world)]
    dist.all_gather(sizes, torch.tensor([len(own)], device=own.device))
    counts = [int(size) for size in sizes]
    padded = own.new_zeros((max(counts), *own.shape[1:]))
    padded[: len(own)] = own.detach()
    parts = [torch.empty_like(padded) for _ in range(world)]
    dist.all_gather(parts, padded)
    rows = torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])
    return rows, sum(counts[:rank])
