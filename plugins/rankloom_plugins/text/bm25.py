"""BM25: the classical score of a text for a query of words, as an inner product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rankloom.errors import NotFittedError
from rankloom.protocols import Build, Encoded, Features, State, TrainData
from rankloom_plugins.text.plugin import Bm25Config
from rankloom_plugins.text.terms import Terms, dense

__all__ = ["Bm25Encoder"]


class Bm25Encoder:
    """``idf · tf (k1 + 1) / (tf + k1 (1 - b + b |d| / mean |d|))`` for every term.

    Robertson & Zaragoza, 2009, with ``idf = log(1 + (N - df + 0.5) / (df + 0.5))``, counted over
    training texts. Under ``reuse`` a query is encoded as the counts of its terms, so that the plain
    inner product (``dot`` without ``cosine``) is BM25's score.

    Args:
        config: Settings.
        build: ``field`` says whose values are learned from.
    """

    def __init__(self, config: Bm25Config, build: Build) -> None:
        self.config = config
        self.field = build.field.name if build.field is not None else "item.text"
        self.dim = config.terms
        self.terms = Terms(max_chars=config.max_chars)
        self.idf: Tensor | None = None

    def prepare(self, train: TrainData) -> None:
        """Learn vocabulary and document frequencies from rows with training data."""
        config = self.config
        self.terms = Terms.learn(
            train.values(self.field), config.terms, config.min_count, False, config.max_chars
        )
        df = torch.tensor(self.terms.counts, dtype=torch.float64)
        idf = torch.log1p((self.terms.n_texts - df + 0.5) / (df + 0.5))
        self.idf = torch.cat([idf, torch.zeros(max(1 - len(idf), 0))]).float()  # never empty

    def export_state(self) -> State:
        """Return vocabulary and weights."""
        if self.idf is None:
            raise NotFittedError("bm25 has no vocabulary yet: call prepare first.")
        return State({"idf": self.idf}, self.terms.to_meta())

    def import_state(self, state: State) -> None:
        """Take them back."""
        self.terms = self.terms.with_meta(dict(state.meta))
        self.idf = state.tensors["idf"]

    def collate(self, values: Sequence[Any]) -> Features:
        """Count the terms of texts; see :meth:`Terms.features`."""
        return self._marked(values, 0.0)

    def collate_query(self, values: Sequence[Any]) -> Features:
        """Count the terms of queries."""
        return self._marked(values, 1.0)

    def _marked(self, values: Sequence[Any], query: float) -> Features:
        found = self.terms.features(values)
        mark = torch.full((len(values),), query)
        return Features({**found.tensors, "query": mark}, found.present)

    def precompute(self, features: Features) -> Features:
        """Nothing: counts are smaller than vectors."""
        return features

    def forward(self, features: Features) -> Encoded:
        """Return vectors ``[n, dim]``: term weights of texts, term counts of queries."""
        if self.idf is None:
            raise NotFittedError("bm25 has no vocabulary yet: call prepare first.")
        tf, k1, b = features["counts"], self.config.k1, self.config.b
        longer = features["length"][:, None] / self.terms.mean_length
        saturated = tf * (k1 + 1) / (tf + k1 * (1 - b + b * longer)).clamp(min=1e-9)
        weights = self.idf.to(tf.device)[features["terms"]] * saturated
        weights = torch.where(features["query"][:, None] > 0, tf, weights)
        return Encoded(dense(features["terms"], weights, self.dim))
