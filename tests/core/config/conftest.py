"""A small set of components for config tests; they are never built."""

from __future__ import annotations

import types
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from rankloom import ComponentConfig, EncoderConfig, component, hookimpl
from rankloom.config.refs import ScorerRef
from rankloom.hookspecs import HOOK_OF_KIND
from rankloom.host import Found, Host
from rankloom.registry import Registry


def _simple(name: str, base: type[ComponentConfig] = ComponentConfig, /, **fields: Any) -> Any:
    """A config class with fields given as ``name=(type, default)``."""
    annotations = {"type": Literal[name], **{key: value[0] for key, value in fields.items()}}
    values = {"type": name, **{key: value[1] for key, value in fields.items()}}
    body = {"__annotations__": annotations, "__module__": __name__, "__doc__": name, **values}
    return type(base)(f"{name.title()}Config", (base,), body)


class Columns(BaseModel):
    """Nested settings of a source."""

    model_config = {"extra": "forbid"}
    user: str = "user"
    item: str = "item"


class BlendConfig(ComponentConfig):
    """A scorer of scorers."""

    type: Literal["blend"] = "blend"
    parts: list[ScorerRef] = Field(min_length=1)
    """The parts."""


Dot = _simple("dot", cosine=(bool, False))
Softmax = _simple("softmax", temperature=(float, 1.0))
TARGET = "math:floor"

SPECS: dict[str, list[Any]] = {
    "source": [component(_simple("frames", path=(str, ""), columns=(Columns, Columns())), TARGET)],
    "split": [component(_simple("leave_last_out"), TARGET)],
    "encoder": [
        component(
            _simple("bert", EncoderConfig, tuning=(str, "frozen"), learning_rate=(float, 0.1)),
            TARGET,
            modality="text",
        ),
        component(_simple("embedding", EncoderConfig, dim=(int, 8)), TARGET),
        component(_simple("sasrec", EncoderConfig), TARGET, side="history", causal=True),
        component(_simple("reuse", EncoderConfig, encoder=(str, "")), TARGET, reuses=True),
    ],
    "fusion": [component(_simple("concat", dim=(int | None, None)), TARGET)],
    "scorer": [
        component(Dot, TARGET, inner_product=True),
        component(_simple("mlp"), TARGET),
        component(_simple("model", name=(str | None, None), task=(str | None, None)), TARGET),
        component(_simple("popularity"), TARGET),
        component(_simple("ease", l2=(float, 1.0)), TARGET),
        component(BlendConfig, TARGET),
    ],
    "objective": [
        component(Softmax, TARGET, candidates="catalog"),
        component(_simple("bpr"), TARGET, candidates="sampled"),
    ],
    "sampler": [component(_simple("uniform"), TARGET)],
    "retriever": [component(_simple("exact", model=(str | None, None), k=(int, 10)), TARGET)],
    "guard": [component(_simple("seen"), TARGET)],
    "policy": [component(_simple("greedy"), TARGET)],
    "metric": [
        component(_simple("share", of=(str, ...)), TARGET),
        *(component(_simple(name), TARGET) for name in ("ndcg", "recall", "mrr", "hit_rate")),
    ],
}


def small_registry() -> Registry:
    """Return a registry of the components above."""
    plugin = types.ModuleType("kit")
    for kind, specs in SPECS.items():
        vars(plugin)[HOOK_OF_KIND[kind]] = hookimpl(_returning(specs))
    host = Host.load(installed=[Found("kit", "kit", "1", "kit", lambda: plugin)])
    assert not host.problems, host.problems
    return Registry(host)


def _returning(specs: list[Any]) -> Any:
    def register() -> list[Any]:
        return specs

    return register


@pytest.fixture(scope="session")
def small() -> Registry:
    """A registry of the components above."""
    return small_registry()
