"""Checks that every kind shares; :mod:`rankloom.testing.drivers` knows how each kind is called."""

from __future__ import annotations

import json
import pickle
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rankloom.protocols import State
from rankloom.testing.compare import Outputs, require, require_same, tensors_in
from rankloom.testing.drivers import driver_of
from rankloom.testing.subject import Subject

__all__ = [
    "check_batch_invariant",
    "check_deterministic",
    "check_global_rng_untouched",
    "check_gradients",
    "check_inputs_unmutated",
    "check_state_round_trip",
]


#: Rows that are compared one by one; among them the world has short, long and missing values.
_ROWS = 6


@torch.no_grad()
def check_deterministic(subject: Subject) -> None:
    """The same inputs give the same answer, from one component twice and from its copy."""
    driver = driver_of(subject)
    component, other = subject.fitted(), subject.fitted()
    first = driver.run(component, driver.inputs(subject, component))
    again = driver.run(component, driver.inputs(subject, component))
    require_same(first, again, "called twice", rtol=0, atol=0)
    copied = driver.run(other, driver.inputs(subject, other))
    require_same(first, copied, "called on a copy", rtol=0, atol=0)


@torch.no_grad()
def check_inputs_unmutated(subject: Subject) -> None:
    """Tensors that are handed over are not written to."""
    driver, component = driver_of(subject), subject.fitted()
    inputs = driver.inputs(subject, component)
    before = {place: tensor.clone() for place, tensor in tensors_in(inputs).items()}
    driver.run(component, inputs)
    for place, tensor in tensors_in(inputs).items():
        old = before[place]
        same = old.shape == tensor.shape and _equal(old, tensor)
        require(same, f"the input {place} was written to")


@torch.no_grad()
def check_global_rng_untouched(subject: Subject) -> None:
    """Serving draws from generators it is given, never from the global ones."""
    driver, component = driver_of(subject), subject.fitted()
    inputs = driver.inputs(subject, component)
    before = _generators()
    driver.run(component, inputs)
    moved = [name for name, state in _generators().items() if state != before[name]]
    require(not moved, f"{' and '.join(moved)} global generator was advanced")


@torch.no_grad()
def check_state_round_trip(subject: Subject) -> None:
    """A component that has learned nothing answers the same after taking the state."""
    driver = driver_of(subject)
    component, blank = subject.fitted(), subject.blank()
    _transfer(component, blank)
    if isinstance(blank, nn.Module):
        blank.eval()
    expected = driver.run(component, driver.inputs(subject, component))
    found = driver.run(blank, driver.inputs(subject, blank))
    require_same(expected, found, "before saving and after loading")


@torch.no_grad()
def check_batch_invariant(subject: Subject) -> None:
    """A batch of n is n batches of one."""
    driver, component = driver_of(subject), subject.fitted()
    run = driver.by_row or driver.run
    if driver.rows is None:
        return
    inputs = driver.inputs(subject, component)
    whole = run(component, inputs)
    n = next(iter(whole.values())).shape[0]
    for row in range(min(n, _ROWS)):
        one = run(component, driver.rows(inputs, torch.tensor([row])))
        expected = {name: tensor[row : row + 1] for name, tensor in whole.items()}
        require_same(expected, one, f"row {row} in a batch of {n} and alone", atol=1e-4)


def check_gradients(subject: Subject) -> None:
    """Gradients reach every parameter that asks for one, and no frozen one."""
    driver, component = driver_of(subject), subject.fitted()
    if not isinstance(component, nn.Module) or not any(
        parameter.requires_grad for parameter in component.parameters()
    ):
        return
    component.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        outputs = driver.run(component, driver.inputs(subject, component))
    torch.autograd.backward(_weighted_sum(outputs))
    for name, parameter in component.named_parameters():
        if parameter.requires_grad:
            require(parameter.grad is not None, f"no gradient reaches the parameter {name}")
            finite = parameter.grad is not None and bool(parameter.grad.isfinite().all())
            require(finite, f"the gradient of {name} is not finite")


def _generators() -> dict[str, bytes]:
    """Return the states of the global generators."""
    return {
        "torch's": bytes(torch.get_rng_state().tolist()),
        "numpy's": pickle.dumps(np.random.get_state()),
        "random's": pickle.dumps(random.getstate()),
    }


def _weighted_sum(outputs: Outputs) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(())
    for tensor in outputs.values():
        if tensor.is_floating_point() and tensor.requires_grad:
            weights = torch.rand(tensor.shape, generator=generator)
            total = total + (tensor.nan_to_num() * weights).sum()
    require(total.requires_grad, "in training mode no output carries a gradient")
    return total


def _transfer(component: Any, blank: Any) -> None:
    """Move the state as a bundle does: exported tensors and JSON first, then ``state_dict``."""
    if hasattr(component, "export_state"):
        state = component.export_state()
        require(
            isinstance(state, State), f"export_state returned {type(state).__name__}, not State"
        )
        strange = [name for name, t in state.tensors.items() if not isinstance(t, Tensor)]
        require(not strange, f"state tensors that are none: {', '.join(strange)}")
        try:
            meta = json.loads(json.dumps(dict(state.meta)))
        except (TypeError, ValueError) as error:
            raise AssertionError(f"state.meta is not JSON: {error}") from error
        tensors = {name: tensor.clone() for name, tensor in state.tensors.items()}
        blank.import_state(State(tensors, meta))
    if isinstance(component, nn.Module):
        blank.load_state_dict({key: t.clone() for key, t in component.state_dict().items()})


def _equal(left: Tensor, right: Tensor) -> bool:
    if left.is_floating_point():
        return bool(torch.allclose(left, right, rtol=0, atol=0, equal_nan=True))
    return bool(torch.equal(left, right))
