"""TF-IDF: words weighted by how rare they are, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from scipy.sparse.linalg import svds
from torch import Tensor

from rankloom.errors import NotFittedError
from rankloom.protocols import Build, Encoded, Features, State, TrainData
from rankloom_plugins.text.plugin import TfidfConfig
from rankloom_plugins.text.terms import Terms, dense

__all__ = ["TfidfEncoder"]


class TfidfEncoder:
    """``(1 + log tf) · (log((1 + N) / (1 + df)) + 1)``, scaled to length 1.

    Salton & Buckley, 1988. ``N`` and ``df`` are counted over training texts alone, with the
    smoothing that scikit-learn uses. With ``dim`` the vectors are mapped by a truncated singular
    value decomposition of the training texts (latent semantic analysis, Deerwester et al., 1990)
    and scaled again. Nothing here trains by gradients.

    Args:
        config: Settings.
        build: ``field`` says whose values are learned from.
    """

    def __init__(self, config: TfidfConfig, build: Build) -> None:
        self.config = config
        self.field = build.field.name if build.field is not None else "item.text"
        self.dim = config.dim or config.terms
        self.terms = Terms(pairs=config.pairs, max_chars=config.max_chars)
        self.idf: Tensor | None = None
        self.components: Tensor | None = None

    def prepare(self, train: TrainData) -> None:
        """Learn vocabulary, document frequencies and the mapping from rows with training data."""
        config = self.config
        values = train.values(self.field)
        self.terms = Terms.learn(
            values, config.terms, config.min_count, config.pairs, config.max_chars
        )
        counts = torch.tensor(self.terms.counts, dtype=torch.float64)
        idf = torch.log((1 + self.terms.n_texts) / (1 + counts)) + 1
        self.idf = torch.cat([idf, torch.ones(max(1 - len(idf), 0))]).float()  # never empty
        self.components = None if config.dim is None else self._components(values, config.dim)

    def _components(self, values: Sequence[Any], dim: int) -> Tensor:
        """``[terms, dim]`` right singular vectors; columns beyond the rank are zero."""
        features = self.terms.features(values)
        weights = self._weights(features).double()
        rows = torch.arange(len(weights)).repeat_interleave(weights.shape[1])
        shape = (len(weights), len(self._fitted()))
        matrix = sparse.csr_matrix(
            (weights.flatten().numpy(), (rows.numpy(), features["terms"].flatten().numpy())), shape
        )
        rank = min(dim, min(shape) - 1)
        out = torch.zeros(shape[1], dim)
        if rank < 1:
            return out
        start = np.random.default_rng(0).standard_normal(min(shape))  # or its answer would vary
        _, sizes, right = svds(matrix, k=rank, v0=start)
        right = right[np.argsort(-sizes)]
        signs = np.sign(right[np.arange(rank), np.abs(right).argmax(1)])
        out[:, :rank] = torch.from_numpy((right * signs[:, None]).T.copy()).float()
        return out

    def _fitted(self) -> Tensor:
        if self.idf is None:
            raise NotFittedError("tfidf has no vocabulary yet: call prepare first.")
        return self.idf

    def _weights(self, features: Features) -> Tensor:
        """``[n, t]`` weights of each text's terms, of length 1; 0 at padding."""
        counts = features["counts"]
        tf = torch.where(counts > 0, 1 + counts.clamp(min=1).log(), counts)
        weights = tf * self._fitted().to(tf.device)[features["terms"]]
        return F.normalize(weights, dim=1)

    def export_state(self) -> State:
        """Return vocabulary, weights and mapping."""
        tensors = {"idf": self._fitted()}
        if self.components is not None:
            tensors["components"] = self.components
        return State(tensors, self.terms.to_meta())

    def import_state(self, state: State) -> None:
        """Take them back."""
        self.terms = self.terms.with_meta(dict(state.meta))
        self.idf = state.tensors["idf"]
        self.components = state.tensors.get("components")

    def collate(self, values: Sequence[Any]) -> Features:
        """Count terms; see :meth:`Terms.features`."""
        return self.terms.features(values)

    def precompute(self, features: Features) -> Features:
        """Nothing: counts are smaller than vectors."""
        return features

    def forward(self, features: Features) -> Encoded:
        """Return vectors ``[n, dim]`` of length 1, zero where missing."""
        whole = dense(features["terms"], self._weights(features), self._width())
        if self.components is None:
            return Encoded(whole)
        return Encoded(F.normalize(whole @ self.components.to(whole.device), dim=1))

    def _width(self) -> int:
        return self.config.terms if self.components is None else len(self._fitted())
