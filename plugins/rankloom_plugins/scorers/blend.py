"""A blend of scorers: the weighted mean of their scores, standardised per query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rankloom.protocols import (
    Build,
    CandidateBatch,
    QueryBatch,
    Scorer,
    Scores,
    State,
    TrainData,
    ValidationData,
)
from rankloom_plugins.scorers.calibration import calibrated, collect
from rankloom_plugins.scorers.plugin import BlendConfig
from rankloom_plugins.scorers.standardise import combine, standardise
from rankloom_plugins.scorers.uncertainty import uncertainty

__all__ = ["Blend"]

#: Before the names of a part's own parameters, as opposed to what its ``export_state`` returns.
MODULE = "module."


class Blend:
    """A scorer of scorers.

    Each part is z-scored per query over the allowed candidates that it can score; where it cannot
    score one, the other parts' weights are renormalised; a candidate that no part can score is NaN.
    Whatever core asks of the blend (``prepare``, ``fit``, ``calibrate``, ``extend``, its state) is
    passed on to the parts that have it, so core need not know them; it can walk ``children``.

    Attributes:
        children: The parts, in the order of the config.
        weights: ``[parts]`` float32, summing to 1.
    """

    def __init__(self, config: BlendConfig, build: Build) -> None:
        self.config = config
        self.children: list[Scorer] = [build.child("scorer", part) for part in config.parts]
        given = config.weights or [1.0] * len(self.children)
        self.weights = torch.tensor(given, dtype=torch.float64)
        self.weights = (self.weights / self.weights.sum()).float()

    def prepare(self, train: TrainData) -> None:
        """Prepare the parts."""
        self._pass_on("prepare", train)

    def fit(self, train: TrainData) -> None:
        """Fit the parts."""
        self._pass_on("fit", train)

    def calibrate(self, validation: ValidationData) -> None:
        """Calibrate the parts, then choose the weights that maximise NDCG on validation.

        The chosen weights are, on the queries looked at, never worse than one part alone. A part
        that scores no validation query (free text alone) keeps its share. The same validation data
        and generator state give the same weights.
        """
        self._pass_on("calibrate", validation)
        wanted = self.config.calibrate
        if wanted is None:
            wanted = self.config.weights is None
        if wanted and len(self.children) > 1:
            judged = collect(self._standardised, validation, self.config.max_queries)
            if judged:
                self.weights = calibrated(judged, self.weights, self.config.k)

    def extend(self, n_items: int) -> None:
        """Tell the parts of items appended to the catalog."""
        self._pass_on("extend", n_items)

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        """Score candidates ``[q, n]`` (scale ``rank``).

        Where parts know their spread or draw samples, so does the blend: each part's is put on the
        scale of its z-scores, and parts are taken to err independently.
        """
        allowed = candidates.allowed(len(queries))
        parts = [part.score(queries, candidates) for part in self.children]
        z = torch.stack([standardise(part.values, allowed) for part in parts])
        std, sample = uncertainty(parts, z, allowed, self.weights)
        return Scores(combine(z, self.weights), "rank", std, sample)

    def export_state(self) -> State:
        """Return the weights and the parts' states, tensors under ``<part>.<name>``."""
        states = [_export(part) for part in self.children]
        tensors: dict[str, Tensor] = {}
        for i, state in enumerate(states):
            tensors |= {f"{i}.{name}": tensor for name, tensor in state.tensors.items()}
        meta = {"weights": self.weights.tolist(), "parts": [dict(state.meta) for state in states]}
        return State(tensors, meta)

    def import_state(self, state: State) -> None:
        """Take weights and parts' states back."""
        self.weights = torch.tensor(state.meta["weights"])
        for i, (part, meta) in enumerate(zip(self.children, state.meta["parts"], strict=True)):
            _import(part, State(_below(f"{i}.", state.tensors), meta))

    def _standardised(self, queries: QueryBatch, candidates: CandidateBatch) -> Tensor:
        """Return z-scores ``[parts, q, n]``, NaN where a part cannot score."""
        allowed = candidates.allowed(len(queries))
        parts = [part.score(queries, candidates).values for part in self.children]
        return torch.stack([standardise(values, allowed) for values in parts])

    def _pass_on(self, method: str, argument: Any) -> None:
        for part in self.children:
            call = getattr(part, method, None)
            if call is not None:
                call(argument)


def _export(part: Scorer) -> State:
    export = getattr(part, "export_state", None)
    state = State() if export is None else export()
    if not isinstance(part, nn.Module):
        return state
    return State({**state.tensors, **part.state_dict(prefix=MODULE)}, state.meta)


def _import(part: Scorer, state: State) -> None:
    take = getattr(part, "import_state", None)
    if take is not None:
        own = {k: t for k, t in state.tensors.items() if not k.startswith(MODULE)}
        take(State(own, state.meta))
    if isinstance(part, nn.Module):
        part.load_state_dict(_below(MODULE, state.tensors))


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with ``prefix``, without it."""
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
