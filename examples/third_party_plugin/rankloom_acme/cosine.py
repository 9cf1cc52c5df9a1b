"""Cosine with a temperature."""

from __future__ import annotations

from torch.nn.functional import normalize

from rankloom.protocols import Build, CandidateBatch, QueryBatch, Scores
from rankloom_acme.plugin import CosineConfig


class Cosine:
    """``cos(query, item) / temperature``; the spec's ``needs_vectors`` makes core fill them in."""

    def __init__(self, config: CosineConfig, build: Build) -> None:
        self.temperature = config.temperature

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        """Score ``[q, n]``; candidates are shared by all queries or each query has its own.

        Raises:
            LookupError: The scorer stands outside a model, where there are no vectors.
        """
        if queries.encoded is None or candidates.encoded is None:
            raise LookupError("acme.cosine needs vectors: put it under a model's 'scorer:'.")
        left = normalize(queries.encoded.vectors, dim=-1) / self.temperature
        right = normalize(candidates.encoded.vectors, dim=-1)
        if candidates.shared:
            return Scores(left @ right.T, "logit")
        return Scores((right @ left[:, :, None]).squeeze(-1), "logit")
