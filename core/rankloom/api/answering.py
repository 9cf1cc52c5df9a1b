"""From requests in external ids to slates, on a fitted pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
import torch

from rankloom.api.progress import Tell
from rankloom.api.query import Query, QueryResolver, check_k
from rankloom.api.slate import Slate
from rankloom.api.stages import RecommendContext, run_stage
from rankloom.config import PipelineConfig
from rankloom.data.dataset import Dataset
from rankloom.data.histories import HistoryStore
from rankloom.errors import ConfigError
from rankloom.pipeline.builder import Parts
from rankloom.pipeline.engine import Engine, Outcome
from rankloom.protocols import Slates

if TYPE_CHECKING:
    from rankloom.api.pipeline import Pipeline
    from rankloom.host import Host

__all__ = ["Answers", "frame_of", "slate_of", "text_field"]


class Answers:
    """The engine and the stored histories of one fitted state.

    Args:
        config: The pipeline.
        dataset: Its data.
        parts: Its fitted components.
    """

    def __init__(self, config: PipelineConfig, dataset: Dataset, parts: Parts) -> None:
        self.seed = config.seed
        self.text_as = text_field(config, dataset, parts)
        self.engine = _engine(config, dataset, parts)
        events = dataset.interactions
        everything = HistoryStore(events, len(dataset.users))
        liked = everything
        if not bool(dataset.positive.all()):
            liked = HistoryStore(events.select(dataset.positive), len(dataset.users))
        self.resolver = QueryResolver(
            dataset.items, dataset.users, liked, everything, parts, self.text_as
        )
        self._count = 0

    @torch.inference_mode()
    def answer(
        self,
        pipeline: Pipeline,
        host: Host,
        requests: Sequence[Query],
        k: int,
        request_id: str | None = None,
    ) -> Outcome | Slates:
        """Run the ``recommend`` stage for a batch of requests.

        Args:
            pipeline: Given to plugins.
            host: The plugins.
            requests: In external ids.
            k: Slots.
            request_id: Seeds every random choice.

        Raises:
            QueryError: An id or a field is unknown, or k is below 1.
        """
        check_k(k)
        context = RecommendContext(
            pipeline,
            requests,
            self.resolver.resolve(requests),
            k,
            self._generator(request_id),
            self.resolver.exclusions(requests),
        )
        result: Outcome | Slates = run_stage(
            host, "recommend", context, self._core, (Outcome, Slates)
        )
        return result

    def blocks(
        self,
        pipeline: Pipeline,
        host: Host,
        users: Sequence[object],
        k: int,
        size: int,
        tell: Tell | None,
    ) -> Iterator[tuple[Sequence[object], Slates]]:
        """Yield blocks of users with their slates."""
        for start in range(0, len(users), size):
            part = users[start : start + size]
            result = self.answer(pipeline, host, [Query(user, k=k) for user in part], k)
            yield part, result.slates if isinstance(result, Outcome) else result
            if tell is not None:
                tell("users", min(start + size, len(users)), len(users))

    def _core(self, context: RecommendContext) -> Outcome:
        """Retrieve, score and decide; guards are asked inside."""
        return self.engine.run(
            context.queries, context.k, context.generator, also_exclude=context.exclude
        )

    def _generator(self, request_id: str | None) -> torch.Generator:
        if request_id is None:
            self._count += 1
            request_id = f"request-{self._count}"
        digest = hashlib.sha256(f"{self.seed}|{request_id}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def slate_of(dataset: Dataset, result: Outcome | Slates, row: int) -> Slate:
    """Return one query's slate in external ids, with its trace where core made it."""
    slates = result.slates if isinstance(result, Outcome) else result
    trace: dict[str, Any] = {}
    if isinstance(result, Outcome):
        trace = {
            "fallback": bool(result.fallback[row]),
            "excluded": int(result.excluded[row]),
            "candidates": result.scored.candidates.width,
        }
    return Slate.of(
        dataset.items,
        slates.items[row].tolist(),
        slates.scores[row].tolist(),
        slates.log_probs[row].tolist(),
        trace,
    )


def frame_of(dataset: Dataset, answered: Iterator[tuple[Sequence[object], Slates]]) -> pl.DataFrame:
    """Return slates of many users as one table: user, rank, item, score, log_prob."""
    frames = [_block(users, slates) for users, slates in answered]
    schema = {"user": pl.String, "rank": pl.Int64, "index": pl.Int64}
    empty = pl.DataFrame(schema={**schema, "score": pl.Float64, "log_prob": pl.Float64})
    joined = pl.concat(frames) if frames else empty
    ids = dataset.items.ids.external(joined["index"].to_list())
    items = pl.Series("item", ids, dtype=pl.String)
    return joined.with_columns(items).select("user", "rank", "item", "score", "log_prob")


def _block(users: Sequence[object], slates: Slates) -> pl.DataFrame:
    width = slates.items.shape[1]
    shown = slates.items.reshape(-1)
    keep = (shown >= 0).numpy()
    return pl.DataFrame(
        {
            "user": [str(user) for user in users for _ in range(width)],
            "rank": list(range(1, width + 1)) * len(users),
            "index": shown.numpy(),
            "score": slates.scores.reshape(-1).double().numpy(),
            "log_prob": slates.log_probs.reshape(-1).double().numpy(),
        }
    ).filter(pl.Series(keep))


def _engine(config: PipelineConfig, dataset: Dataset, parts: Parts) -> Engine:
    handle = parts.handles.get(parts.retriever_model)
    if parts.retriever is not None and handle is not None:
        vectors = handle.table.vectors.masked_fill(~handle.table.present[:, None], torch.nan)
        parts.retriever.refresh(vectors, None)
    for model in parts.models.values():
        model.eval()
    return Engine(
        parts.scorer,
        parts.fallback,
        parts.policy,
        parts.guards,
        torch.ones(len(dataset.items), dtype=torch.bool),
        parts.retriever,
        handle,
        getattr(config.retriever, "k", 200),
        dict(parts.handles),
    )


def text_field(config: PipelineConfig, dataset: Dataset, parts: Parts) -> str | None:
    """Return the item field that free text stands for.

    Raises:
        ConfigError: Several text fields are read and ``text_as`` does not say which.
    """
    if config.text_as is not None:
        return config.text_as.removeprefix("item.")
    fields = dataset.items.fields
    read = {
        field.removeprefix("item.")
        for table in parts.tables.values()
        for field in table.fields.values()
    }
    texts = sorted(name for name in read if name in fields and fields[name].type == "text")
    if len(texts) > 1:
        raise ConfigError(
            f"text_as: item encoders read several text fields ({', '.join(texts)}); say which "
            f"one free text stands for, for example `text_as: {texts[0]}`."
        )
    return texts[0] if texts else None
