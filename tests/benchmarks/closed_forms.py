"""What the benchmark scripts of the closed forms share: ML-100K, queries, NDCG.

It reads ``u.data`` itself and builds the batch types by hand, so that its numbers do not depend on
the framework's sources, splits and evaluation.
"""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from rankloom.data.histories import HistoryStore
from rankloom.data.ids import IdMap
from rankloom.data.interactions import Interactions
from rankloom.data.tables import Table
from rankloom.protocols import (
    CandidateBatch,
    QueryBatch,
    RaggedIndices,
    TrainData,
    ValidationBlock,
    ValidationData,
)

N_USERS, N_ITEMS = 943, 1682


def read(path: Path) -> Interactions:
    """Read ``u.data``; indices are the file's numbers minus 1; sorted by (user, time, row)."""
    frame = pl.read_csv(path, separator="\t", has_header=False).select(pl.all().cast(pl.Int64))
    user, item, value, time = (torch.from_numpy(c.to_numpy().copy()) for c in frame.get_columns())
    log = Interactions(user - 1, item - 1, value.float(), time, torch.arange(len(user)))
    return log.select(log.order())


def train_data(log: Interactions) -> TrainData:
    """All rows of ``log`` as positives."""
    universe = torch.zeros(N_ITEMS, dtype=torch.bool)
    universe[log.items] = True
    known = torch.zeros(N_USERS, dtype=torch.bool)
    known[log.users] = True
    tables = [
        Table(side, IdMap(range(1, n + 1)), pl.DataFrame())
        for side, n in (("item", N_ITEMS), ("user", N_USERS))
    ]
    every = torch.ones(len(log), dtype=torch.bool)
    return TrainData(log, every, tables[0], tables[1], universe, known)


def block(
    history: Interactions, excluded: Interactions, targets: Interactions, universe: Tensor
) -> ValidationBlock:
    """One query a user with targets; all items of the universe but ``excluded`` are ranked."""
    users = targets.users.unique()
    seen = HistoryStore(excluded, N_USERS).whole(users).items
    wanted = HistoryStore(targets, N_USERS).whole(users)
    queries = QueryBatch(
        users, HistoryStore(history, N_USERS).whole(users), seen, torch.zeros_like(users)
    )
    mask = universe.expand(len(users), -1).clone()
    mask[seen.row_ids(), seen.values] = False
    candidates = CandidateBatch(torch.arange(N_ITEMS), mask)
    return ValidationBlock(queries, candidates, wanted.items, wanted.values)


def validation(judged: ValidationBlock) -> ValidationData:
    """Return a block as what ``calibrate`` takes."""
    return ValidationData(lambda: iter([judged]), torch.Generator().manual_seed(0))


def ndcg(scores: Tensor, judged: ValidationBlock, k: int = 10) -> Tensor:
    """Return NDCG@k of each query ``[q]``; ties keep the order of item indices."""
    allowed = judged.candidates.allowed(len(judged.queries)) & ~scores.isnan()
    ranked = scores.masked_fill(~allowed, -math.inf).argsort(dim=1, descending=True, stable=True)
    hits = dense(judged.targets, scores.shape[1]) & allowed
    gains = 1.0 / torch.log2(torch.arange(k, dtype=torch.float64) + 2.0)
    got = (hits.gather(1, ranked[:, :k]) * gains).sum(1)
    return got / gains.cumsum(0)[judged.targets.lengths.clamp(max=k) - 1]


def dense(rows: RaggedIndices, width: int) -> Tensor:
    """Return rows as ``[n, width]`` bool."""
    out = torch.zeros(len(rows), width, dtype=torch.bool)
    out[rows.row_ids(), rows.values] = True
    return out
