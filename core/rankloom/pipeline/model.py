"""A model: what is trained together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rankloom.pipeline.scorer_fields import ScorerFields
from rankloom.pipeline.tower import Tower
from rankloom.protocols import Encoded, Features, History, QueryBatch

__all__ = ["Model", "TaskRuntime"]


@dataclass(frozen=True)
class TaskRuntime:
    """One task of a model.

    Attributes:
        name: Named in config.
        objective: What is minimised.
        scorer: Key of the task's scorer in ``Model.scorers``.
        weight: Its share of the total loss.
        sampler: Draws negatives, where the objective wants them.
        negatives: How many.
    """

    name: str
    objective: Any
    scorer: str
    weight: float = 1.0
    sampler: Any | None = None
    negatives: int = 1


class Model(nn.Module):
    """Item tower, query tower, scorers and tasks.

    Args:
        name: Its key under ``models:``.
        items: Item tower.
        queries: Query tower.
        scorers: By key; ``"model"`` is the model's own.
        tasks: Trained together; none for a zero-shot model.
        history: Names of the query encoders that read the history.
        causal: One query a position may be trained in one pass.
        scorer_fields: Raw fields that scorers read themselves, by the scorers' keys.
    """

    def __init__(
        self,
        name: str,
        items: Tower,
        queries: Tower,
        scorers: Mapping[str, Any],
        tasks: list[TaskRuntime],
        history: tuple[str, ...],
        causal: bool,
        scorer_fields: Mapping[str, ScorerFields] | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.items = items
        self.queries = queries
        self.scorers = dict(scorers)
        for key, scorer in scorers.items():
            if isinstance(scorer, nn.Module):
                self.add_module(f"scorer_{key}", scorer)
        for task in tasks:
            for kind, part in (("objective", task.objective), ("sampler", task.sampler)):
                if isinstance(part, nn.Module):
                    self.add_module(f"{kind}_{task.name}", part)
        self.tasks = tasks
        self.history = history
        self.causal = causal
        self.scorer_fields = dict(scorer_fields or {})

    def scorer(self, task: str | None = None) -> Any:
        """Return the scorer of a task (default: the first task's, else the model's own)."""
        return self.scorers[self._scorer_key(task)]

    def fields_of(self, task: str | None = None) -> ScorerFields | None:
        """Return the raw fields that the scorer of a task reads itself, if it does."""
        return self.scorer_fields.get(self._scorer_key(task))

    def _scorer_key(self, task: str | None) -> str:
        if not self.tasks:
            return "model"
        return next((t for t in self.tasks if t.name == task), self.tasks[0]).scorer

    def collate_history(self, name: str, history: History) -> Features:
        """Crop and pad for one history encoder (no vectors yet)."""
        features: Features = self.queries.encoders[name].collate(history)
        return features

    def with_vectors(
        self, features: Features, history: History, table: Tensor, positions: Tensor | None
    ) -> Features:
        """Add ``vectors [q, t, d]`` of the collated items.

        Args:
            features: What the history encoder collated.
            history: The histories, for pseudo-items.
            table: ``[m, d]`` item vectors.
            positions: ``[n_items]`` row of each item in ``table``, or None where they are equal.
        """
        items = features["items"]
        if positions is None and items.is_cpu and _within(items, len(table)):
            vectors = nn.functional.embedding(items, table)
            return Features({**features.tensors, "vectors": vectors}, features.present)
        # An item newer than the table (or outside it) has no vector yet: it reads as missing.
        rows = items.clamp(min=0, max=len(table if positions is None else positions) - 1)
        known = rows == items
        if positions is not None:
            rows = positions[rows]
            known = known & (rows >= 0)
            rows = rows.clamp(min=0)
        # F.embedding's backward is much cheaper than advanced indexing's on a CPU.
        vectors = nn.functional.embedding(rows, table)
        if not (known.is_cpu and bool(known.all())):  # elsewhere, to look would be to wait
            vectors = vectors * known[..., None]
        pseudo = (history.pseudo or {}).get(self.name)
        if pseudo is not None and len(pseudo):
            rank = (history.items.values == -1).cumsum(0) - 1
            is_pseudo = (items == -1) & features["mask"]
            vectors[is_pseudo] = pseudo[rank[features["at"][is_pseudo]]].to(vectors.dtype)
        return Features({**features.tensors, "vectors": vectors}, features.present)

    def _encodings(
        self, queries: QueryBatch, table: Tensor, positions: Tensor | None
    ) -> dict[str, tuple[Encoded, Tensor, Features]]:
        out = {}
        for name in self.queries.names:
            if name in self.history:
                features = self.collate_history(name, queries.history)
                if getattr(self.queries.encoders[name], "reads_vectors", True):
                    features = self.with_vectors(features, queries.history, table, positions)
            else:
                features = queries.features(f"{self.name}.{name}")
            encoded, present = self.queries.run(name, features)
            out[name] = (encoded, present, features)
        return out

    def encode_queries(
        self, queries: QueryBatch, table: Tensor, positions: Tensor | None = None
    ) -> tuple[Encoded, Tensor]:
        """Encode ``q`` queries.

        Args:
            queries: The batch.
            table: ``[m, d]`` item vectors.
            positions: ``[n_items]`` row of each item in ``table`` (-1: none), or None where row
                and item index are equal.

        Returns:
            Vectors ``[q, d]``, with tokens where the query tower carries them, and ``[q]`` bool:
            something is known of the query.
        """
        if not self.queries.names:  # text alone: the pseudo-item is the query vector
            vectors = queries.text_vectors.get(self.name)
            if vectors is None or queries.has_text is None:
                nothing = queries.users.new_zeros(len(queries), dtype=torch.bool)
                return Encoded(table.new_zeros(len(queries), table.shape[1])), nothing
            return Encoded(vectors), queries.has_text
        parts = self._encodings(queries, table, positions)
        return self.queries.fuse(
            {name: part[0] for name, part in parts.items()},
            {name: part[1] for name, part in parts.items()},
        )

    def encode_positions(
        self, queries: QueryBatch, table: Tensor, positions: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Encode every position of every history in one causal pass.

        Returns:
            Query vectors ``[p, d]``; the query each belongs to ``[p]``; the flat position in
            ``queries.history`` each ends at ``[p]``.
        """
        parts = self._encodings(queries, table, positions)
        lead = self.history[0]
        mask = parts[lead][2]["mask"]
        # One nonzero for all: a boolean index would look for it again each time, and index_select's
        # backward is much cheaper than a boolean index's.
        flat = mask.flatten().nonzero()[:, 0]
        rows = flat // mask.shape[1]
        at = parts[lead][2]["at"].flatten()[flat]
        whole = parts[lead][0].tokens
        if len(parts) == 1 and self.queries.fusion is None and whole is not None:
            return whole.flatten(0, 1).index_select(0, flat), rows, at
        encoded: dict[str, Encoded] = {}
        present: dict[str, Tensor] = {}
        for name, (full, there, _) in parts.items():
            if name in self.history and full.tokens is not None:
                tokens = full.tokens.flatten(0, 1)
                encoded[name] = Encoded(tokens.index_select(0, flat))
                present[name] = torch.ones_like(rows, dtype=torch.bool)
            else:
                encoded[name], present[name] = full.select(rows), there[rows]
        fused, _ = self.queries.fuse(encoded, present)
        return fused.vectors, rows, at


def _within(items: Tensor, n: int) -> bool:
    """Return whether all items are from 0 to ``n - 1``: no padding, no pseudo-item, none newer."""
    if not items.numel():
        return False
    low, high = items.aminmax()
    return int(low) >= 0 and int(high) < n
