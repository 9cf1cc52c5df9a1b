"""Checks of fusions."""

from __future__ import annotations

import torch
from torch import nn

from rankloom.protocols import Encoded
from rankloom.testing.compare import require, require_same
from rankloom.testing.drivers import driver_of
from rankloom.testing.encoder_checks import require_encoded
from rankloom.testing.subject import Subject

__all__ = [
    "check_fusion_masked_parameters_train",
    "check_fusion_masked_values",
    "check_fusion_nothing_present",
    "check_fusion_shapes",
]


@torch.no_grad()
def check_fusion_shapes(subject: Subject) -> None:
    """Vectors are ``[n, dim]``, for no rows too."""
    component, driver = subject.fitted(), driver_of(subject)
    inputs = driver.inputs(subject, component)
    for rows in (torch.arange(7), torch.arange(0)):
        assert driver.rows is not None
        part = driver.rows(inputs, rows)
        encoded = component.forward(part["encoded"], part["present"])
        require_encoded(encoded, len(rows), component.dim)


@torch.no_grad()
def check_fusion_masked_values(subject: Subject) -> None:
    """What stands in the vector of a missing encoding changes nothing."""
    component = subject.fitted()
    inputs = driver_of(subject).inputs(subject, component)
    present = inputs["present"]
    other = {
        name: Encoded(part.vectors.masked_fill(~present[name][:, None], 1e3))
        for name, part in inputs["encoded"].items()
    }
    require_same(
        {"vectors": component.forward(inputs["encoded"], present).vectors},
        {"vectors": component.forward(other, present).vectors},
        "one and another value under the mask",
    )


@torch.no_grad()
def check_fusion_nothing_present(subject: Subject) -> None:
    """A row of which nothing is known is finite."""
    component = subject.fitted()
    inputs = driver_of(subject).inputs(subject, component)
    nothing = {name: torch.zeros_like(mask) for name, mask in inputs["present"].items()}
    vectors = component.forward(inputs["encoded"], nothing).vectors
    require(bool(vectors.isfinite().all()), "a row with nothing present is not finite")


def check_fusion_masked_parameters_train(subject: Subject) -> None:
    """An encoding that is missing in every row still touches its parameters (gradient 0)."""
    component = subject.fitted()
    if not isinstance(component, nn.Module):
        return
    inputs = driver_of(subject).inputs(subject, component)
    present = {**inputs["present"], "b": torch.zeros(7, dtype=torch.bool)}
    vectors = component.forward(inputs["encoded"], present).vectors
    if not vectors.requires_grad:
        return
    torch.autograd.backward(vectors.sum())
    for name, parameter in component.named_parameters():
        reached = parameter.grad is not None or not parameter.requires_grad
        require(
            reached,
            f"parameter {name} takes no part when an encoding is missing everywhere; multiply by 0 "
            f"instead of leaving it out, or training on several devices waits for it for ever",
        )
