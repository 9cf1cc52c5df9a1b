"""How each kind of component is called, so that checks common to all kinds are written once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from rankloom.protocols import Encoded, Features, RaggedIndices
from rankloom.testing.compare import Outputs
from rankloom.testing.subject import Subject, fusion_dims
from rankloom.testing.world import World

__all__ = ["Driver", "driver_of", "history_features", "objective_scores"]

Inputs = dict[str, Any]


@dataclass(frozen=True)
class Driver:
    """How to call one kind.

    Attributes:
        inputs: Makes fresh inputs.
        run: Calls the component; returns its tensors.
        rows: Picks rows of the inputs, where calls have rows.
        by_row: Calls the component for comparison row by row, default ``run``.
        trains: The kind may have parameters that gradient training reaches through ``run``.
    """

    inputs: Callable[[Subject, Any], Inputs]
    run: Callable[[Any, Inputs], Outputs]
    rows: Callable[[Inputs, Tensor], Inputs] | None = None
    by_row: Callable[[Any, Inputs], Outputs] | None = None
    trains: bool = False


def driver_of(subject: Subject) -> Driver:
    """Return how to call a component."""
    return _DRIVERS["history" if subject.history else subject.spec.kind]


def encoded_outputs(encoded: Encoded) -> dict[str, Tensor]:
    """Return vectors, and tokens with what lies under the mask set to zero."""
    out = {"vectors": encoded.vectors}
    if encoded.tokens is not None and encoded.mask is not None:
        out["tokens"] = encoded.tokens * encoded.mask[..., None]
    return out


def history_features(component: Any, world: World, rows: Tensor | None = None) -> Features:
    """Collate histories and add the items' vectors, as core does."""
    history = world.queries.history
    features: Features = component.collate(history if rows is None else history.select(rows))
    items = features["items"]
    vectors = world.item_vectors[items.clamp(min=0)] * (items >= 0)[..., None]
    return Features({**features.tensors, "vectors": vectors}, features.present)


def objective_scores(world: World, queries: Tensor, items: Tensor) -> Callable[[Any], Any]:
    """Return a score function: inner products of the given vectors ``[q, d]`` and ``[n, d]``."""
    from rankloom.protocols import CandidateBatch, Scores

    def score(candidates: CandidateBatch) -> Scores:
        table = items[candidates.items.clamp(min=0)]
        form = "qd,nd->qn" if candidates.shared else "qd,qnd->qn"
        return Scores(torch.einsum(form, queries, table), "logit")

    return score


def _encoder_inputs(subject: Subject, component: Any) -> Inputs:
    values = subject.values()
    return {"values": values, "features": component.collate(values)}


def _encoder_run(component: Any, inputs: Inputs) -> Outputs:
    features = component.precompute(inputs["features"])
    return {**encoded_outputs(component.forward(features)), "present": features.present}


def _encoder_rows(inputs: Inputs, rows: Tensor) -> Inputs:
    return {"values": [inputs["values"][int(row)] for row in rows]}


def _encoder_by_row(component: Any, inputs: Inputs) -> Outputs:
    features = component.precompute(component.collate(inputs["values"]))
    return {"vectors": component.forward(features).vectors, "present": features.present}


def _history_inputs(subject: Subject, component: Any) -> Inputs:
    return {
        "features": history_features(component, subject.world),
        "world": subject.world,
        "rows": torch.arange(len(subject.world.queries)),
    }


def _history_run(component: Any, inputs: Inputs) -> Outputs:
    return encoded_outputs(component.forward(inputs["features"]))


def _history_by_row(component: Any, inputs: Inputs) -> Outputs:
    features = history_features(component, inputs["world"], inputs["rows"])
    return {"vectors": component.forward(features).vectors}


def _history_rows(inputs: Inputs, rows: Tensor) -> Inputs:
    return {**inputs, "rows": inputs["rows"][rows]}


def _fusion_inputs(subject: Subject, component: Any) -> Inputs:
    generator = torch.Generator().manual_seed(5)
    dims = fusion_dims(subject.spec)
    encoded = {name: Encoded(torch.randn(7, d, generator=generator)) for name, d in dims.items()}
    rows = torch.arange(7)
    present = {"a": rows % 2 == 0, "b": rows % 3 > 0, "c": rows != 5}
    return {"encoded": encoded, "present": present}


def _fusion_run(component: Any, inputs: Inputs) -> Outputs:
    return encoded_outputs(component.forward(inputs["encoded"], inputs["present"]))


def _fusion_rows(inputs: Inputs, rows: Tensor) -> Inputs:
    return {
        "encoded": {name: part.select(rows) for name, part in inputs["encoded"].items()},
        "present": {name: part[rows] for name, part in inputs["present"].items()},
    }


def _scorer_inputs(subject: Subject, component: Any) -> Inputs:
    return {"queries": subject.world.queries, "candidates": subject.world.candidates()}


def _scorer_run(component: Any, inputs: Inputs) -> Outputs:
    scores = component.score(inputs["queries"], inputs["candidates"])
    out = {"values": scores.values}
    return out if scores.std is None else {**out, "std": scores.std}


def _query_rows(inputs: Inputs, rows: Tensor) -> Inputs:
    return {**inputs, "queries": inputs["queries"].select(rows)}


def _objective_inputs(subject: Subject, component: Any) -> Inputs:
    return {"batch": subject.world.batch(component.candidates), "world": subject.world}


def _objective_run(component: Any, inputs: Inputs) -> Outputs:
    world: World = inputs["world"]
    score = objective_scores(world, world.query_vectors[:5], world.item_vectors)
    return {"loss": component.loss(inputs["batch"], score)}


def _retriever_inputs(subject: Subject, component: Any) -> Inputs:
    world = subject.world
    return {"queries": world.queries, "table": world.item_vectors}


def _retriever_run(component: Any, inputs: Inputs) -> Outputs:
    component.refresh(inputs["table"], None)
    queries = inputs["queries"]
    found = component.retrieve(queries, 5, queries.seen)
    return {"items": found.expand(len(queries)), "allowed": found.allowed(len(queries))}


def _guard_inputs(subject: Subject, component: Any) -> Inputs:
    scored = subject.world.scored()
    prefix = scored.candidates.items[:, -1:]
    return {"scored": scored, "prefix": prefix, "n_items": len(subject.world.items)}


def _guard_run(component: Any, inputs: Inputs) -> Outputs:
    scored, prefix = inputs["scored"], inputs["prefix"]
    excluded: RaggedIndices | None = component.exclude(scored.queries)
    out = torch.zeros(len(scored.queries), inputs["n_items"], dtype=torch.bool)
    if excluded is not None:
        out[excluded.row_ids(), excluded.values] = True
    penalty = component.penalty(scored, prefix)
    return {"excluded": out} if penalty is None else {"excluded": out, "penalty": penalty}


def _guard_rows(inputs: Inputs, rows: Tensor) -> Inputs:
    return {
        **inputs,
        "scored": _scored_rows(inputs["scored"], rows),
        "prefix": inputs["prefix"][rows],
    }


def _scored_rows(scored: Any, rows: Tensor) -> Any:
    candidates = scored.candidates
    picked = replace(
        candidates,
        items=candidates.items[rows],
        mask=None if candidates.mask is None else candidates.mask[rows],
        encoded=None if candidates.encoded is None else candidates.encoded.select(rows),
        reasons={name: mask[rows] for name, mask in candidates.reasons.items()},
    )
    context = scored.context()
    own = replace(context, queries=context.queries[rows], items=context.items[rows])
    return replace(
        scored,
        queries=scored.queries.select(rows),
        candidates=picked,
        scores=replace(scored.scores, values=scored.scores.values[rows]),
        contexts=lambda _: own,
    )


def _policy_inputs(subject: Subject, component: Any) -> Inputs:
    scored = subject.world.scored()
    slates = component.decide(scored, 3, (), torch.Generator().manual_seed(2))
    return {"scored": scored, "slates": slates}


def _policy_run(component: Any, inputs: Inputs) -> Outputs:
    slates = component.decide(inputs["scored"], 3, (), torch.Generator().manual_seed(11))
    return {"items": slates.items, "scores": slates.scores, "log_probs": slates.log_probs}


def _policy_by_row(component: Any, inputs: Inputs) -> Outputs:
    return {"log_probs": component.log_prob(inputs["scored"], inputs["slates"], ())}


def _policy_rows(inputs: Inputs, rows: Tensor) -> Inputs:
    slates = inputs["slates"]
    picked = replace(
        slates,
        items=slates.items[rows],
        scores=slates.scores[rows],
        log_probs=slates.log_probs[rows],
    )
    return {"scored": _scored_rows(inputs["scored"], rows), "slates": picked}


_DRIVERS: dict[str, Driver] = {
    "encoder": Driver(_encoder_inputs, _encoder_run, _encoder_rows, _encoder_by_row, trains=True),
    "history": Driver(_history_inputs, _history_run, _history_rows, _history_by_row, trains=True),
    "fusion": Driver(_fusion_inputs, _fusion_run, _fusion_rows, trains=True),
    "scorer": Driver(_scorer_inputs, _scorer_run, _query_rows, trains=True),
    "objective": Driver(_objective_inputs, _objective_run),
    "retriever": Driver(_retriever_inputs, _retriever_run, _query_rows),
    "guard": Driver(_guard_inputs, _guard_run, _guard_rows),
    "policy": Driver(_policy_inputs, _policy_run, _policy_rows, _policy_by_row),
}
