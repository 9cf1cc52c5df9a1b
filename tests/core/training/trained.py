"""Two small models and their data, as ``fit`` builds them; importable by other processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from rankloom.api.fitting import train_data
from rankloom.config import PipelineConfig, load_config
from rankloom.data.dataset import Dataset, Phase
from rankloom.data.fields import FieldSpec
from rankloom.data.ids import IdMap
from rankloom.data.interactions import Interactions
from rankloom.data.tables import Table
from rankloom.pipeline.builder import Builder, Parts
from rankloom.pipeline.handle import ModelHandle
from rankloom.pipeline.phases import PhaseQueries
from rankloom.protocols import TrainData
from rankloom.registry import default_registry
from rankloom.training.feeds import Batches, PairFeed, SequenceFeed
from rankloom.training.model_loss import ModelLoss
from rankloom.training.run import Fitted, run
from rankloom.training.validation import Validator

N_USERS, N_ITEMS = 23, 30


def dataset() -> Dataset:
    """23 users with 3 to 12 events over 30 items, of which the last two nobody touched."""
    generator = torch.Generator().manual_seed(4)
    users, items, times = [], [], []
    for user in range(N_USERS):
        n = 3 + int(torch.randint(0, 10, (), generator=generator))
        liked = torch.randperm(N_ITEMS - 2, generator=generator)[:n]
        users += [user] * n
        items += liked.tolist()
        times += list(range(n))
    values = torch.randint(1, 6, (len(users),), generator=generator).float()
    log = Interactions(
        torch.tensor(users),
        torch.tensor(items),
        values,
        torch.tensor(times),
        torch.arange(len(users)),
    )
    genres = [["a"], ["b", "c"], None, ["c"], ["a", "b"]] * (N_ITEMS // 5)
    catalog = Table(
        "item",
        IdMap(list(range(N_ITEMS))),
        pl.DataFrame({"genres": genres}),
        {"genres": FieldSpec("item.genres", "category", multiple=True)},
    )
    people = Table("user", IdMap(list(range(N_USERS))), pl.DataFrame({"id": range(N_USERS)}))
    return Dataset(catalog, people, log, torch.ones(len(users), dtype=torch.bool), name="small")


def config(kind: str, dropout: float, **training: Any) -> PipelineConfig:
    """A sequence model with a softmax, or a pair model with a squared error (or bpr)."""
    items = {
        "encoders": {"id": {"type": "embedding", "dim": 8}, "genres": {"type": "multi_hot"}},
        "fusion": {"type": "gated", "dim": 8, "modality_dropout": dropout},
    }
    history: dict[str, Any] = {"type": "sasrec", "max_length": 9, "dropout": dropout}
    if kind == "pair":
        history = {"type": "history_mean"}
    tasks: list[Any] = ["softmax"]
    scorer: Any = "dot"
    if kind == "pair":
        tasks, scorer = ["mse"], {"type": "dot", "global_bias": True, "item_bias": True}
    if kind == "sampled":
        tasks = [{"type": "bpr", "negatives": 4}]
    model = {
        "items": items,
        "queries": {"encoders": {"history": history}},
        "scorer": scorer,
        "tasks": tasks,
        "training": {"learning_rate": 0.01, "batch_size": 6, **training},
    }
    written = {"name": "small", "seed": 3, "models": {"m": model}}
    return load_config(written)


class Job:
    """One model with everything that training it takes."""

    def __init__(self, kind: str, dropout: float = 0.0, **training: Any) -> None:
        self.kind = kind
        self.config = config(kind, dropout, **training)
        data = dataset()
        last = torch.cat([torch.nonzero(data.interactions.users == u)[-1] for u in range(N_USERS)])
        held = torch.zeros(len(data.interactions), dtype=torch.bool)
        held[last] = True
        rows = (~held).nonzero()[:, 0]
        self.train: TrainData = train_data(data, rows, 3)
        self.data = data
        self.parts: Parts = Builder(
            self.config, default_registry(), data.items, data.users, Path(), Path(".unused")
        ).build()
        self.model, self.table = self.parts.models["m"], self.parts.tables["m"]
        for encoder in self.model.items.encoders.values():
            if hasattr(encoder, "prepare"):
                encoder.prepare(self.train)
        for part in [*self.model.scorers.values(), *(t.sampler for t in self.model.tasks)]:
            if hasattr(part, "prepare"):
                part.prepare(self.train)
        self.table.load(data.items, None)
        phase = Phase(last, rows, rows, torch.ones(N_ITEMS, dtype=torch.bool))
        self.queries = PhaseQueries(data, phase, self.parts.query_fields)
        self.settings = self.config.models["m"].training
        self.loss = ModelLoss(self.model, self.table, self.train.universe)
        rated = kind == "pair"
        fields = self.parts.query_fields
        feed = (
            SequenceFeed(self.train, fields)
            if kind == "sequence"
            else PairFeed(self.train, fields, "others" if rated else "before", rated)
        )
        self.batches = Batches(feed, self.settings.batch_size, 3)

    def validator(self) -> Validator:
        """Judges NDCG@10, or RMSE for ratings; blocks are small, so that ranks share them."""
        handle, metric = ModelHandle(self.model, self.table), self.parts.watched["m"]
        return Validator(handle, self.queries, self.settings, metric, 5)

    def run(self, directory: Path, options: dict[str, Any] | None = None, **more: Any) -> Fitted:
        """Train."""
        return run(
            self.model,
            self.loss,
            self.batches,
            self.settings,
            {"accelerator": "cpu", "devices": 1, **(options or {})},
            directory,
            validate=self.validator(),
            seed=3,
            progress=False,
            **more,
        )

    def weights(self) -> dict[str, Tensor]:
        """A copy of all parameters."""
        return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
