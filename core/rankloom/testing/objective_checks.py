"""Checks of objectives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import torch
from torch import Tensor

from rankloom.protocols import CandidateRegime, TargetKind, TrainBatch
from rankloom.testing.compare import require, require_same
from rankloom.testing.drivers import objective_scores
from rankloom.testing.subject import Subject

__all__ = [
    "check_objective_declares",
    "check_objective_differentiable",
    "check_objective_direction",
    "check_objective_parts",
    "check_objective_row_order",
    "check_objective_weights",
]


def check_objective_declares(subject: Subject) -> None:
    """``target`` and ``candidates`` are known words, and those of the config or the spec."""
    component = subject.fitted()
    for name, words in (
        ("target", get_args(TargetKind)),
        ("candidates", get_args(CandidateRegime)),
    ):
        value = getattr(component, name)
        require(value in words, f"{name} is {value!r}, one of {', '.join(words)} is wanted")
        said = getattr(subject.config(), name, subject.spec.flags.get(name, value))
        require(said == value, f"the spec says {name}={said!r}, the component {value!r}")


def check_objective_differentiable(subject: Subject) -> None:
    """The loss is a finite scalar and its gradient reaches queries and items."""
    component = subject.fitted()
    batch = _batch(subject, component)
    loss, queries, items = _loss(subject, component, batch)
    require(loss.dim() == 0, f"the loss has shape {tuple(loss.shape)}, a scalar is wanted")
    require(bool(loss.isfinite()), f"the loss is {float(loss.detach())}")
    require(loss.requires_grad, "the loss carries no gradient")
    torch.autograd.backward(loss)
    for name, leaf in (("queries", queries), ("items", items)):
        if leaf.grad is None or not bool(leaf.grad.any()):
            raise AssertionError(f"no gradient reaches the {name}")
        require(bool(leaf.grad.isfinite().all()), f"the gradient of the {name} is not finite")


def check_objective_weights(subject: Subject) -> None:
    """The loss is a weighted mean: a common factor changes nothing, weight 0 takes a row out."""
    component = subject.fitted()
    batch = _batch(subject, component)
    loss = _loss(subject, component, batch)[0]
    scaled = _loss(subject, component, replace(batch, weights=3 * batch.weights))[0]
    require_same({"loss": loss.detach()}, {"loss": scaled.detach()}, "weights and three times them")
    weights = batch.weights.clone()
    weights[2] = 0
    loss, queries, _ = _loss(subject, component, replace(batch, weights=weights))
    torch.autograd.backward(loss)
    gradient = torch.zeros(5) if queries.grad is None else queries.grad.abs().sum(1)
    require(bool(gradient[2] < 1e-7), "a row of weight 0 has a gradient")
    require(bool((gradient[[0, 1, 3, 4]] > 0).any()), "no other row has one")


@torch.no_grad()
def check_objective_parts(subject: Subject) -> None:
    """Means over parts of the rows, weighed by ``weight(batch)``, make the mean over all.

    Several processes put their losses together in this way; without ``weight`` the sum of the
    batch's weights is taken.
    """
    component = subject.fitted()
    batch = _batch(subject, component)
    first = torch.tensor([True, True, False, True, False])
    value, total = torch.zeros(()), torch.zeros(())
    for part in (first, ~first):
        own = replace(batch, weights=batch.weights * part)
        weight = component.weight(own) if hasattr(component, "weight") else own.weights.sum()
        value = value + weight * _loss(subject, component, own)[0]
        total = total + weight
    whole = _loss(subject, component, batch)[0]
    require_same({"loss": whole}, {"loss": value / total}, "all rows and two parts put together")


@torch.no_grad()
def check_objective_row_order(subject: Subject) -> None:
    """The order of the rows does not change the loss."""
    component = subject.fitted()
    batch = _batch(subject, component)
    order = torch.tensor([4, 2, 0, 3, 1])
    columns = batch.target_columns
    candidates = batch.candidates
    if candidates is not None and not candidates.shared:
        candidates = replace(
            candidates,
            items=candidates.items[order],
            log_q=None if candidates.log_q is None else candidates.log_q[order],
            encoded=None if candidates.encoded is None else candidates.encoded.select(order),
        )
    moved = replace(
        batch,
        queries=batch.queries.select(order),
        targets=batch.targets[order],
        values=batch.values[order],
        weights=batch.weights[order],
        candidates=candidates,
        target_columns=None if columns is None else columns[order],
    )
    require_same(
        {"loss": _loss(subject, component, batch)[0]},
        {"loss": _loss(subject, component, moved, order)[0]},
        "rows in order and in another",
    )


def check_objective_direction(subject: Subject) -> None:
    """A small step down the gradient lowers the loss and moves targets the right way."""
    component, world = subject.fitted(), subject.world
    batch = _batch(subject, component)
    loss, queries, items = _loss(subject, component, batch)
    torch.autograd.backward(loss)
    assert queries.grad is not None
    better = queries.detach() - 1e-2 * queries.grad
    with torch.no_grad():
        score = objective_scores(world, better, items)
        lower = component.loss(batch, score)
    require(
        bool(lower < loss),
        f"a step down the gradient moves {float(loss.detach()):.4f} to {float(lower):.4f}",
    )
    targets = items.detach()[batch.targets]
    before, after = (queries.detach() * targets).sum(1), (better * targets).sum(1)
    if component.target == "positive":
        require(
            bool(((after - before) * batch.weights).sum() > 0), "targets score less after a step"
        )
    else:
        gain = (before - batch.values).abs() - (after - batch.values).abs()
        require(bool((gain * batch.weights).sum() > 0), "targets are further from their values")


def _batch(subject: Subject, component: Any) -> TrainBatch:
    return subject.world.batch(component.candidates)


def _loss(
    subject: Subject, component: Any, batch: TrainBatch, rows: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss and the query and item vectors it was computed from, as leaves."""
    world = subject.world
    vectors = world.query_vectors[:5]
    queries = (vectors if rows is None else vectors[rows]).clone().requires_grad_()
    items = world.item_vectors.clone().requires_grad_()
    loss: Tensor = component.loss(batch, objective_scores(world, queries, items))
    return loss, queries, items
