"""One component under test: its spec, its settings, and how to make it."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rankloom.components import ComponentConfig, ComponentSpec
from rankloom.data.fields import FieldSpec
from rankloom.protocols import Build
from rankloom.registry import default_registry
from rankloom.testing.doubles import InnerProduct, WordEncoder
from rankloom.testing.world import DIM, World, make_world

__all__ = ["Blocked", "Subject", "fusion_dims"]


class Blocked(AssertionError):
    """A check could not be made because an earlier one fails (the component cannot be made)."""


class Subject:
    """A component under test.

    Args:
        spec: What was registered.
        example: Settings to build it with; default ``spec.flags["example"]``, else none, so that
            every setting has its default. An encoder's ``field`` names a field of the world.
        world: What it is driven with.
    """

    def __init__(
        self,
        spec: ComponentSpec,
        example: Mapping[str, Any] | None = None,
        world: World | None = None,
    ) -> None:
        self.spec = spec
        self.example = dict(spec.flags.get("example", {}) if example is None else example)
        self.world = world or make_world()

    @property
    def name(self) -> str:
        """``kind:name``."""
        return f"{self.spec.kind}:{self.spec.name}"

    @property
    def history(self) -> bool:
        """True for an encoder of histories."""
        return self.spec.kind == "encoder" and self.spec.side == "history"

    def config(self) -> ComponentConfig:
        """Return the settings that the checks use.

        Raises:
            pydantic.ValidationError: A setting has no default and the example does not give it.
        """
        return self.spec.config.model_validate(self.example)

    def implementation(self) -> Any:
        """Import the class.

        Raises:
            MissingExtraError: It needs a package that is not installed.
            PluginError: It cannot be imported.
        """
        return default_registry().implementation(self.spec)

    def construct(self, world: World | None = None, seed: int = 0) -> Any:
        """Return a new component with its weights loaded, not fitted."""
        world = world or self.world
        build = self._build(world, seed)
        if self.spec.kind == "encoder" and not self.history:
            build = _with_field(build, self.field)
        return self._made(build, seed)

    def learned(self, world: World | None = None, seed: int = 0) -> Any:
        """Return a new component after ``prepare``, ``fit`` and ``calibrate`` on a world."""
        world = world or self.world
        component = self.construct(world, seed)
        _teach(component, world)
        return component

    def fitted(self) -> Any:
        """Return a copy of the learned component, in evaluation mode.

        Raises:
            Blocked: It cannot be made; ``check_factory_builds`` says why.
        """
        component = copy.deepcopy(self._prototype)
        if isinstance(component, nn.Module):
            component.eval()
        return component

    def blank(self) -> Any:
        """Return a component that has learned nothing, from another seed.

        Raises:
            Blocked: It cannot be made.
        """
        try:
            component = self.construct(seed=1)
        except Exception as error:
            raise Blocked(f"cannot be made: {type(error).__name__}: {error}") from error
        if isinstance(component, nn.Module):
            component.eval()
        return component

    @cached_property
    def _prototype(self) -> Any:
        try:
            return self.learned()
        except Exception as error:
            raise Blocked(f"cannot be made: {type(error).__name__}: {error}") from error

    @cached_property
    def field(self) -> FieldSpec:
        """The field of the world that an encoder reads.

        The settings or the modality say which; otherwise the first that it accepts.
        """
        items = self.world.items
        named = getattr(self.config(), "field", None)
        if named is not None:
            return items.field(named.partition(".")[2] if "." in named else named)
        if self.spec.modality is not None:
            same = (spec for spec in items.fields.values() if spec.type == self.spec.modality)
            found = next(same, None)
            if found is None and "values" not in self.spec.flags:
                raise LookupError(
                    f"the test world has no {self.spec.modality} field; "
                    f"give raw values with component(..., values=[...])"
                )
            return found or FieldSpec("item.value", self.spec.modality)
        return self._first_accepted()

    def values(self) -> list[Any]:
        """Return the raw values an encoder is driven with, missing ones among them."""
        if "values" in self.spec.flags:
            return list(self.spec.flags["values"])
        return self.world.items.values(self.field.name)

    def _first_accepted(self) -> FieldSpec:
        self.implementation()  # what cannot be imported is no matter of fields
        items, errors = self.world.items, []
        for spec in _by_specificity(items.fields, items.field("id")):
            try:
                component = self._made(_with_field(self._build(self.world, 0), spec), 0)
                _teach(component, self.world)
                values = items.values(spec.name)
                component.forward(component.precompute(component.collate(values)))
            except Exception as error:
                errors.append(f"{spec.type}: {type(error).__name__}: {error}")
            else:
                return spec
        raise LookupError(
            "the encoder accepts no field of the test world; name one with "
            "component(..., example={'field': ...}). " + "; ".join(errors)
        )

    def _made(self, build: Build, seed: int) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            component = self.implementation()(self.config(), build)
            if hasattr(component, "bind"):
                component.bind(WordEncoder())
            if hasattr(component, "load"):
                component.load()
        return component

    def _build(self, world: World, seed: int) -> Build:
        kinds: dict[str, dict[str, int]] = {
            "fusion": fusion_dims(self.spec),
            "scorer": {"query": DIM, "items": DIM},
            "encoder": {"items": DIM},
        }
        return Build(
            n_items=len(world.items),
            n_users=len(world.users),
            dims=kinds.get(self.spec.kind, {"query": DIM, "items": DIM}),
            cache_dir=Path(tempfile.gettempdir()) / "rankloom-testing",
            seed=seed,
            child=_child,
            model=lambda name, task: InnerProduct(world.item_vectors),
        )


def fusion_dims(spec: ComponentSpec) -> dict[str, int]:
    """Return the widths a fusion is driven with; equal ones where its spec says ``equal_dims``."""
    if spec.flags.get("equal_dims"):
        return dict.fromkeys(("a", "b", "c"), DIM)
    return {"a": 4, "b": 6, "c": DIM}


def _with_field(build: Build, spec: FieldSpec) -> Build:
    return replace(build, field=spec)


def _by_specificity(fields: Mapping[str, FieldSpec], ids: FieldSpec) -> Iterator[FieldSpec]:
    """Fields that few encoders accept come first, the id (a plain number) last."""
    plain = (spec for spec in fields.values() if spec.type not in ("image", "audio"))
    yield from sorted(plain, key=lambda spec: (spec.type == "text", not spec.multiple))
    yield ids


def _teach(component: Any, world: World) -> None:
    for method, data in (("prepare", world.train), ("fit", world.train)):
        if hasattr(component, method):
            getattr(component, method)(data)
    if hasattr(component, "calibrate"):
        component.calibrate(world.validation())
    if isinstance(component, nn.Module):
        component.eval()


def _child(kind: str, config: ComponentConfig) -> Any:
    """Build and fit a nested component as a pipeline would, out of the installed plugins."""
    world = make_world()
    nested = Build(
        n_items=len(world.items),
        n_users=len(world.users),
        dims={"query": DIM, "items": DIM},
        child=_child,
        model=lambda name, task: InnerProduct(world.item_vectors),
    )
    child = default_registry().build(kind, config, nested)
    _teach(child, world)  # a pipeline fits parts before what is made of them
    return child
