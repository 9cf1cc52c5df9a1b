"""Pseudo-labels: what a trained model is sure of becomes training data for the same model anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rankloom.config import PseudoLabelsConfig
from rankloom.data.histories import training_queries
from rankloom.data.interactions import Interactions
from rankloom.nn.slates import stable_topk
from rankloom.pipeline.handle import ModelHandle
from rankloom.pipeline.phases import PhaseQueries
from rankloom.pipeline.query_fields import QueryFields
from rankloom.protocols import CandidateBatch, QueryBatch, ScoredCandidates, TrainData

__all__ = ["Confidence", "confidence_of", "label"]

#: Fewer validation pairs than this prove nothing of a threshold.
FEWEST = 50


@dataclass(frozen=True)
class Confidence:
    """How a score becomes a confidence.

    A pair's score is taken in standard deviations above the mean of its query's candidates. Among
    validation pairs at or above ``threshold`` a share ``precision`` were positives.

    Attributes:
        threshold: Least standardised score of a label; infinite where none is sure enough.
        precision: Of the validation pairs at or above it; where there is no threshold, the highest
            that was found.
        pairs: How many validation pairs those are.
        labels: Labels that were made, once they are.
    """

    threshold: float
    precision: float
    pairs: int
    labels: int = 0


@torch.no_grad()
def confidence_of(
    handle: ModelHandle, queries: PhaseQueries, settings: PseudoLabelsConfig, block: int
) -> Confidence:
    """Find the lowest threshold above which enough validation pairs are positives.

    Args:
        handle: The trained model.
        queries: The validation phase.
        settings: The share that is enough, and how many pairs of a query count.
        block: Queries at a time.
    """
    scores, hits = [], []
    for one in queries.validation(block, seed=0):
        values, columns = _best(handle, one.queries, one.candidates, settings.most)
        items = one.candidates.at(columns)
        wanted = torch.zeros(len(one.queries), len(queries.dataset.items), dtype=torch.bool)
        wanted[one.targets.row_ids(), one.targets.values] = True
        scores.append(values.flatten())
        hits.append(wanted.gather(1, items.clamp(min=0)).flatten())
    if not scores:  # no validation: nothing says how sure the model is
        return Confidence(float("inf"), 0.0, 0)
    value, hit = torch.cat(scores), torch.cat(hits)
    there = value > -torch.inf
    value, order = value[there].sort(descending=True, stable=True)
    precision = hit[there][order].double().cumsum(0) / torch.arange(1, len(order) + 1)
    enough = torch.arange(1, len(order) + 1) >= FEWEST
    sure = (enough & (precision >= settings.confidence)).nonzero()[:, 0]
    if not len(sure):
        best = float(precision[enough].max()) if bool(enough.any()) else 0.0
        return Confidence(float("inf"), best, 0)
    last = int(sure[-1])
    return Confidence(float(value[last]), float(precision[last]), last + 1)


@torch.no_grad()
def label(
    handle: ModelHandle,
    train: TrainData,
    fields: QueryFields,
    settings: PseudoLabelsConfig,
    found: Confidence,
    block: int,
) -> Interactions:
    """Return pairs that nobody has seen and the model is sure of, as interactions.

    They come after all that their users did, and have no value.

    Args:
        handle: The trained model.
        train: What it was trained on.
        fields: Attaches raw query fields.
        settings: How many a user at most, and of which items.
        found: The threshold.
        block: Queries at a time.
    """
    allowed = train.universe | (settings.items == "catalog")
    last = torch.zeros(train.n_users, dtype=torch.long)
    log = train.interactions
    last = last.scatter_reduce(0, log.users, log.times, "amax", include_self=False)
    users, items = [], []
    for queries in _blocks(training_queries(train, train.n_users), block):
        asked = fields.attach(queries)
        mask = allowed.repeat(len(asked), 1)
        mask[asked.seen.row_ids(), asked.seen.values] = False
        candidates = CandidateBatch(torch.arange(train.n_items), mask, whole=True)
        values, columns = _best(handle, asked, candidates, settings.most)
        row, place = (values >= found.threshold).nonzero().T
        users.append(asked.users[row])
        items.append(columns[row, place])
    who = torch.cat(users) if users else torch.zeros(0, dtype=torch.long)
    what = torch.cat(items) if items else torch.zeros(0, dtype=torch.long)
    after = int(log.rows.max()) + 1 if len(log) else 0
    rows = torch.arange(after, after + len(who))
    return Interactions(who, what, torch.full((len(who),), torch.nan), last[who], rows, log.timed)


def _best(
    handle: ModelHandle, queries: QueryBatch, candidates: CandidateBatch, most: int
) -> tuple[Tensor, Tensor]:
    """Return standardised scores and columns ``[q, most]``, best first, -inf past the end."""
    scores = handle.score(queries, candidates)
    utility = ScoredCandidates(queries, candidates, scores).utilities().double()
    there = utility > -torch.inf
    known = torch.where(there, utility, torch.nan)
    mean = known.nanmean(1, keepdim=True)
    spread = (known - mean).square().nanmean(1, keepdim=True).sqrt().clamp(min=1e-12)
    standard = torch.where(there, (utility - mean) / spread, -torch.inf)
    return stable_topk(standard, most)


def _blocks(queries: QueryBatch, size: int) -> Iterator[QueryBatch]:
    for rows in torch.split(torch.arange(len(queries)), size):
        history = queries.history.select(rows)
        yield QueryBatch(queries.users[rows], history, history.items, queries.times[rows])
