"""How a component introduces itself: a config class and where its implementation lives.

Importing this module costs pydantic alone; implementations are ``"module:Class"`` strings that are
imported only when a pipeline uses them.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from rankloom.errors import PluginError, did_you_mean

__all__ = [
    "KINDS",
    "AudioEncoderConfig",
    "ComponentConfig",
    "ComponentSpec",
    "EncoderConfig",
    "ImageEncoderConfig",
    "MediaEncoderConfig",
    "Modality",
    "component",
]

Modality = Literal["text", "image", "audio"]

#: Every kind of component; ``register_<kind>s`` is the hook that collects it.
KINDS: tuple[str, ...] = (
    "encoder",
    "fusion",
    "scorer",
    "objective",
    "sampler",
    "retriever",
    "guard",
    "policy",
    "simulator",
    "source",
    "split",
    "metric",
    "estimator",
    "command",
)


#: Further capabilities that core reads; others may be given and are kept.
FLAGS: tuple[str, ...] = (
    "candidates", "catalog", "equal_dims", "example", "listwise", "of_model", "reuses",
    "target_kind", "values",
)  # fmt: skip


class ComponentConfig(BaseModel):
    """Base of every component's settings: strict, immutable, described by attribute docstrings."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    type: str
    """The component's registered name."""


@dataclass(frozen=True)
class ComponentSpec:
    """What a plugin registers: a name, its settings, and where the implementation is.

    Attributes:
        name: The value of the config's ``type`` literal.
        config: The settings class.
        target: ``"module:Class"`` of the implementation, imported on first use.
        kind: Filled in by the registry from the hook that returned the spec.
        modality: The modality an encoder reads, if any.
        side: Which field kinds an encoder may read: ``"field"``, or ``"history"`` for encoders of
            the query's history.
        inner_product: The scorer is an inner product of query and item vectors (an index can serve
            it, and the catalog softmax can use it).
        needs_vectors: The scorer reads the model's query and item vectors.
        causal: A history encoder that yields one query a position.
        needs: ``"tokens"`` if the consumer reads tokens beside vectors.
        extras: Optional dependency groups the component needs.
        summary: First line of the config's docstring.
        plugin: Name of the plugin that registered it (filled in by the host).
    """

    name: str
    config: type[ComponentConfig]
    target: str
    kind: str = ""
    modality: Modality | None = None
    side: Literal["field", "history"] = "field"
    inner_product: bool = False
    needs_vectors: bool = False
    causal: bool = False
    needs: Literal["vectors", "tokens"] = "vectors"
    extras: tuple[str, ...] = ()
    summary: str = ""
    plugin: str = ""
    flags: dict[str, Any] = field(default_factory=dict)

    def bound(self, kind: str, plugin: str) -> ComponentSpec:
        """Return the spec as the registry keeps it, with its kind and plugin filled in."""
        return replace(self, kind=kind, plugin=plugin)


def component(
    config: type[ComponentConfig],
    target: str,
    *,
    modality: Modality | None = None,
    side: Literal["field", "history"] = "field",
    inner_product: bool = False,
    needs_vectors: bool = False,
    causal: bool = False,
    needs: Literal["vectors", "tokens"] = "vectors",
    extras: Sequence[str] = (),
    **flags: Any,
) -> ComponentSpec:
    """Describe a component for registration.

    Args:
        config: Settings class; its ``type`` field must be ``Literal["name"]`` with that default.
        target: ``"module:Class"``; the class is called as ``Class(config, build)``.
        modality: See :class:`ComponentSpec`; so are the remaining arguments.
        side: ``"history"`` for encoders of the query's history.
        inner_product: The scorer is an inner product.
        needs_vectors: The scorer reads query and item vectors.
        causal: A history encoder yielding one query a position.
        needs: ``"tokens"`` where tokens are read.
        extras: Names of optional dependency groups.
        **flags: Further capabilities that ``validate`` may read.

    Raises:
        PluginError: ``type`` is not a one-value literal or ``target`` is not ``module:Class``.
    """
    if not (isinstance(config, type) and issubclass(config, ComponentConfig)):
        name = getattr(config, "__qualname__", config)
        raise PluginError(
            f"component({name}, ...): settings must inherit rankloom.ComponentConfig."
        )
    annotation = config.model_fields["type"].annotation
    names = get_args(annotation)
    if len(names) != 1 or not isinstance(names[0], str):
        raise PluginError(
            f"{config.__module__}.{config.__qualname__}: 'type' must be annotated "
            f'Literal["name"] with one name, got {annotation!r}.'
        )
    default = config.model_fields["type"].default
    if isinstance(default, str) and default != names[0]:
        raise PluginError(
            f"{config.__module__}.{config.__qualname__}: 'type' is Literal[{names[0]!r}], but its "
            f"default is {default!r}; they must be equal."
        )
    _check_capabilities(names[0], modality, side, needs, extras, flags)
    module, _, attribute = target.partition(":")
    if not module or not attribute:
        raise PluginError(
            f"Component {names[0]!r}: target {target!r} is not of the form 'module:Class'."
        )
    doc = (config.__doc__ or "").strip().splitlines()
    return ComponentSpec(
        name=names[0],
        config=config,
        target=target,
        modality=modality,
        side=side,
        inner_product=inner_product,
        needs_vectors=needs_vectors,
        causal=causal,
        needs=needs,
        extras=tuple(extras),
        summary=doc[0] if doc else "",
        flags=dict(flags),
    )


def _check_capabilities(
    name: str, modality: Any, side: Any, needs: Any, extras: Any, flags: dict[str, Any]
) -> None:
    """Refuse what ``validate`` would silently not understand."""
    for key, value, allowed in (
        ("modality", modality, (None, *get_args(Modality))),
        ("side", side, ("field", "history")),
        ("needs", needs, ("vectors", "tokens")),
    ):
        if value not in allowed:
            known = ", ".join(repr(one) for one in allowed)
            raise PluginError(f"Component {name!r}: {key}={value!r} is none of {known}.")
    if isinstance(extras, str):
        raise PluginError(f"Component {name!r}: extras is a list of names: extras=[{extras!r}].")
    known_flags = (*inspect.signature(component).parameters, *FLAGS)
    for flag in (flag for flag in flags if flag not in FLAGS):
        hint = did_you_mean(flag, known_flags)
        if hint:
            raise PluginError(f"Component {name!r}: there is no capability {flag!r}.{hint}")


class EncoderConfig(ComponentConfig):
    """Base of encoders' settings."""

    field: str | None = None
    """The field to read (``title``, ``user.age``, ``history``); default: the encoder's own name."""


class MediaEncoderConfig(EncoderConfig):
    """Base of the settings of frozen encoders that read files: pictures and sounds."""

    root: str = "."
    """Folder below which the files lie, relative to the pipeline file; no path may leave it."""
    on_bad_item: Literal["error", "skip"] = "error"
    """A file that cannot be read is an error that names its item, or left out and reported."""
    max_bytes: int = Field(default=100_000_000, ge=1)
    """Largest file that is read."""
    batch_size: int = Field(default=32, ge=1)
    """Values that go through the network at once."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What the network computes in; ``auto``: bfloat16 where the device gains by it."""
    dim: int | None = Field(default=None, ge=1)
    """Width of a trained linear map of the frozen vectors; null: none (fusions bring their own)."""


class ImageEncoderConfig(MediaEncoderConfig):
    """Base of the settings of image encoders."""

    max_pixels: int = Field(default=50_000_000, ge=1)
    """Most pixels of a picture that is decoded (three bytes each)."""


class AudioEncoderConfig(MediaEncoderConfig):
    """Base of the settings of audio encoders."""

    max_seconds: float = Field(default=30.0, gt=0)
    """Seconds kept of each sound, from its start; no more than these are decoded."""
