"""The catalog's texts, in three parts: to train on, to choose the epoch by, to be judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rankloom.api import Pipeline
from rankloom.api.fitting import train_data
from rankloom.config import PipelineConfig, dump, load_config
from rankloom.data.dataset import Dataset
from rankloom.data.histories import taken, training_queries, without
from rankloom.errors import ConfigError, DataError
from rankloom.nn.text import as_text
from rankloom.protocols import CandidateBatch, Scorer, TrainData
from rankloom_plugins.text.pretraining.objectives import Tastes
from rankloom_plugins.text.pretraining.plugin import PretrainConfig

__all__ = ["FEWEST", "PARTS", "Catalog", "factors_of", "read_catalog"]

#: Distinct texts that there must be.
FEWEST = 30
#: Shares of the texts that choose the epoch and that are held out.
PARTS = {"validation": 0.1, "held_out": 0.1}
#: Users whose scores the factors are taken from, at most.
_MAX_USERS = 5000


@dataclass(frozen=True)
class Catalog:
    """What is trained on.

    Attributes:
        settings: The pipeline file, with a split that makes items cold.
        base_dir: Where its relative paths start.
        field: Short name of the item field.
        texts: Distinct texts.
        parts: ``train``, ``validation`` and ``held_out``: ``[n]`` places in ``texts``, int64.
        tastes: Collaborative factors of the texts' items, and users to judge by; None where they
            were not asked for.
        protocol: What the split says of itself.
        n_cold: Items that nothing was learned from.
    """

    settings: PipelineConfig
    base_dir: Path
    field: str
    texts: list[str]
    parts: Mapping[str, Tensor]
    tastes: Tastes | None
    protocol: str
    n_cold: int


def read_catalog(config: PretrainConfig, here: Path) -> Catalog:
    """Read the data that a pipeline file names, and divide the texts by seed.

    Args:
        config: The command's options.
        here: Where relative paths of the options start.

    Raises:
        ConfigError: There is no such file, or it does not name its data.
        DataError: No such field, or too few texts.
    """
    path = here / config.config
    settings = load_config(path)
    seed = settings.seed if config.seed is None else config.seed
    wanted = config.objective == "factors"
    data = dump(settings)["data"]
    if data["split"]["type"] != "cold_items":
        data["split"] = "cold_items"
    plain: dict[str, Any] = {
        "name": "pretrain",
        "seed": seed,
        "data": data,
        "scorer": config.target if wanted else "popularity",
        "trainer": config.trainer,
    }
    pipeline = Pipeline.from_config(plain, base_dir=path.parent).fit(progress=not config.as_json)
    dataset, found = pipeline.dataset, pipeline.split
    assert dataset is not None
    assert found is not None
    train = train_data(dataset, found.train if found.refit is None else found.refit, seed)
    field = config.field or _only_text_field(dataset)
    warm = train.universe.nonzero()[:, 0]
    rows = torch.arange(len(dataset.items)) if config.texts == "all" else warm
    place: dict[str, int] = {}
    for row, value in zip(rows.tolist(), dataset.items.values(field, rows.tolist()), strict=True):
        text = as_text(value)
        if text is not None:
            place.setdefault(text, row)
    if len(place) < FEWEST:
        raise DataError(
            f"pretrain: field {field!r} has {len(place)} distinct texts among {len(rows)} items, "
            f"and {FEWEST} are the least to learn from. Name another field with --field."
        )
    parts = _divide(len(place), seed)
    tastes = None
    if wanted:
        assert pipeline.parts is not None
        items = torch.tensor(list(place.values()))
        tastes = _tastes(pipeline.parts.scorer, train, items, parts["train"], config.factors)
    cold = int((found.test.candidates & ~train.universe).sum())
    card = found.card.name
    return Catalog(pipeline.config, path.parent, field, list(place), parts, tastes, card, cold)


def _only_text_field(dataset: Dataset) -> str:
    names = [name for name, spec in dataset.items.fields.items() if spec.type == "text"]
    if len(names) == 1:
        return names[0]
    if not names:
        raise ConfigError("pretrain: the items have no field of type text; name one with --field.")
    raise ConfigError(f"pretrain: which texts? --field is one of {', '.join(names)}.")


def _divide(n: int, seed: int) -> dict[str, Tensor]:
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    parts, start = {}, 0
    for name, share in PARTS.items():
        stop = start + max(round(share * n), 1)
        parts[name] = order[start:stop].sort().values
        start = stop
    return {"train": order[start:].sort().values, **parts}


def _tastes(scorer: Scorer, train: TrainData, items: Tensor, fitted: Tensor, rank: int) -> Tastes:
    """Decompose a scorer's scores, and see what users' histories of training texts say of them.

    Args:
        scorer: The fitted target.
        train: What it was fitted on.
        items: ``[n]`` items of the texts.
        fitted: Places of the training texts; the others' items are taken out of the histories.
        rank: How many factors.
    """
    queries = training_queries(train, _MAX_USERS)
    scores = scorer.score(queries, CandidateBatch(items)).values
    factors = factors_of(scores, rank, train.seed)
    hits = taken(queries, items)
    others = torch.ones(len(items), dtype=torch.bool)
    others[fitted] = False
    asked = without(queries, items[others])
    seen = scorer.score(asked, CandidateBatch(items[fitted])).values
    moved = (seen - seen.nanmean(1, keepdim=True)).nan_to_num(0.0)
    known = factors[fitted]
    gram = known.T @ known
    gram.diagonal().add_(1e-4 * float(gram.diagonal().mean()))
    users = torch.linalg.solve(gram, known.T @ moved.T).T
    return Tastes(factors, users, hits)


def factors_of(scores: Tensor, rank: int, seed: int) -> Tensor:
    """Return ``[u, r]`` factors of items whose inner products are closest to those of the scores.

    Args:
        scores: ``[q, u]``, NaN where unknown; each query's mean is taken out.
        rank: How many; fewer where the scores have fewer.
        seed: Of the randomised decomposition (Halko et al., 2011).
    """
    moved = (scores - scores.nanmean(1, keepdim=True)).nan_to_num(0.0)
    rank = min(rank, *moved.shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _, sizes, right = torch.svd_lowrank(moved, q=min(rank + 10, *moved.shape), niter=4)
    factors = right[:, :rank] * sizes[:rank]
    factors = factors - factors.mean(0)
    return factors / factors.square().sum(1).mean().sqrt().clamp(min=1e-12)
