"""Scorers and objectives without a fault, and others with exactly one."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from rankloom.protocols import (
    Build,
    CandidateBatch,
    CandidateRegime,
    QueryBatch,
    ScoreFunction,
    Scores,
    State,
    TargetKind,
    TrainBatch,
    TrainData,
)


class Neighbours:
    """How often the items of the history and a candidate were taken by the same user."""

    def __init__(self, config: object, build: Build) -> None:
        self.counts = torch.empty(0, 0)

    def fit(self, train: TrainData) -> None:
        log = train.interactions.select(train.positive)
        x = torch.zeros(train.n_users, train.n_items)
        x[log.users, log.items] = 1
        self.counts = x.T @ x
        self.counts[:, ~train.universe] = torch.nan

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        events, n = queries.history.items, len(self.counts)
        x = torch.zeros(len(queries), n)
        x[events.row_ids(), events.values] = 1
        values = x @ self.counts.nan_to_num()
        values = values.masked_fill(self.counts[0].isnan(), torch.nan)
        values = values.masked_fill(x.sum(1, keepdim=True) == 0, self.unknown)
        picked = self.picked(candidates, candidates.gather(values))

        def sample(generator: torch.Generator) -> Tensor:
            return picked + self.noise(picked, generator)

        return Scores(picked, "logit", torch.ones_like(picked), sample)

    unknown = torch.nan

    def picked(self, candidates: CandidateBatch, values: Tensor) -> Tensor:
        return values

    def noise(self, like: Tensor, generator: torch.Generator) -> Tensor:
        return torch.randn(like.shape, generator=generator)

    def extend(self, n_items: int) -> None:
        grown = torch.full((n_items, n_items), torch.nan)
        old = len(self.counts)
        grown[:old, :old] = self.counts
        self.counts = grown

    def export_state(self) -> State:
        return State({"counts": self.counts})

    def import_state(self, state: State) -> None:
        self.counts = state.tensors["counts"]


class OtherScale(Neighbours):
    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        return replace(super().score(queries, candidates), scale="stars")  # type: ignore[arg-type]


class OwnDiffer(Neighbours):
    def picked(self, candidates: CandidateBatch, values: Tensor) -> Tensor:
        return values if candidates.shared else values + 1


class ReadsPlace(Neighbours):
    def picked(self, candidates: CandidateBatch, values: Tensor) -> Tensor:
        return values + 0.1 * torch.arange(values.shape[1])


class MindsPadding(Neighbours):
    def picked(self, candidates: CandidateBatch, values: Tensor) -> Tensor:
        return values + (candidates.items < 0).any()


class NeedsWidth(Neighbours):
    def picked(self, candidates: CandidateBatch, values: Tensor) -> Tensor:
        assert values.shape[1], "no candidates"
        return values


class UnknownIsZero(Neighbours):
    unknown = 0.0


class SampleIsFixed(Neighbours):
    def noise(self, like: Tensor, generator: torch.Generator) -> Tensor:
        return torch.ones_like(like)


class StaysSmall(Neighbours):
    def extend(self, n_items: int) -> None:
        return None


class CrossEntropy:
    """Softmax over the training universe."""

    target: TargetKind = "positive"
    candidates: CandidateRegime = "catalog"

    def __init__(self, config: object, build: Build) -> None:
        pass

    def loss(self, batch: TrainBatch, score: ScoreFunction) -> Tensor:
        assert batch.candidates is not None
        assert batch.target_columns is not None
        logits = score(batch.candidates).values.log_softmax(1)
        losses = -logits.gather(1, batch.target_columns[:, None])[:, 0]
        weights = self.weights(batch)
        return self.shaped((losses * weights).sum() / weights.sum())

    def weights(self, batch: TrainBatch) -> Tensor:
        return batch.weights

    def weight(self, batch: TrainBatch) -> Tensor:
        return self.weights(batch).sum()

    def shaped(self, loss: Tensor) -> Tensor:
        return loss


class UnknownTarget(CrossEntropy):
    candidates: CandidateRegime = "catalog"
    target: TargetKind = "liked"  # type: ignore[assignment]


class NotScalar(CrossEntropy):
    def shaped(self, loss: Tensor) -> Tensor:
        return loss.reshape(1)


class Unweighted(CrossEntropy):
    def weights(self, batch: TrainBatch) -> Tensor:
        return torch.ones_like(batch.weights)


class SaysMore(CrossEntropy):
    def weight(self, batch: TrainBatch) -> Tensor:
        return self.weights(batch).sum() + 1


class FirstRowsMore(CrossEntropy):
    def weights(self, batch: TrainBatch) -> Tensor:
        return batch.weights * torch.linspace(2, 1, len(batch))


class Upwards(CrossEntropy):
    def shaped(self, loss: Tensor) -> Tensor:
        return -loss
