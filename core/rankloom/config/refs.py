"""References to components: a field of a config that holds any component of one kind.

``ScorerRef`` in an annotation accepts ``dot``, ``{type: dot, bias: true}`` or a typed config
object, and resolves the name when the config is validated: plugins that are installed later need
no change here. The registry is ``ValidationInfo.context["registry"]`` or the default one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from rankloom.components import ComponentConfig
from rankloom.config.explain import EXPLAINED, explain
from rankloom.errors import ConfigError
from rankloom.registry import default_registry

if TYPE_CHECKING:
    from rankloom.registry import Registry

__all__ = [
    "KIND_MARKER",
    "ComponentRef",
    "EncoderRef",
    "FusionRef",
    "GuardRef",
    "MetricRef",
    "ObjectiveRef",
    "PolicyRef",
    "RetrieverRef",
    "SamplerRef",
    "ScorerRef",
    "SourceRef",
    "SplitRef",
    "registry_of",
]

#: Stands in a JSON Schema where any component of a kind may be; ``schema.py`` replaces it.
KIND_MARKER = "x-component-kind"


def registry_of(info: ValidationInfo) -> Registry:
    """Return the registry that a validation resolves names in."""
    context = info.context
    if isinstance(context, Mapping) and context.get("registry") is not None:
        registry: Registry = context["registry"]
        return registry
    return default_registry()


@dataclass(frozen=True)
class ComponentRef:
    """Annotation that turns a field into a reference: ``Annotated[ComponentConfig, ...]``.

    Attributes:
        kind: The kind of component.
    """

    kind: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value, info: value.model_dump(mode=info.mode), info_arg=True
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {KIND_MARKER: self.kind}

    def _validate(self, value: Any, info: ValidationInfo) -> ComponentConfig:
        registry = registry_of(info)
        if isinstance(value, ComponentConfig):
            return self._typed(value, registry)
        if isinstance(value, str):
            value = {"type": value}
        if not isinstance(value, Mapping):
            raise self._error(
                f"expected the name of {_a(self.kind)} or a mapping with 'type', got {value!r}"
            )
        name = value.get("type")
        if not isinstance(name, str):
            raise self._error(f"{_a(self.kind)} needs 'type', the name of the component")
        try:
            config = registry.get(self.kind, name).config
        except ConfigError as error:
            raise self._error(str(error)) from error
        try:
            return config.model_validate(dict(value), context=info.context)
        except ValidationError as error:
            what = f"{self.kind} {name!r}"
            raise ValidationError.from_exception_data(what, explain(error, config, what)) from None

    def _typed(self, value: ComponentConfig, registry: Registry) -> ComponentConfig:
        if registry.of(value, self.kind) is None:
            raise self._error(
                f"{type(value).__qualname__} is not the config of {_a(self.kind)} that is installed"
            )
        return value

    def _error(self, message: str) -> PydanticCustomError:
        return PydanticCustomError(EXPLAINED, message)


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


SourceRef = Annotated[ComponentConfig, ComponentRef("source")]
SplitRef = Annotated[ComponentConfig, ComponentRef("split")]
EncoderRef = Annotated[ComponentConfig, ComponentRef("encoder")]
FusionRef = Annotated[ComponentConfig, ComponentRef("fusion")]
ScorerRef = Annotated[ComponentConfig, ComponentRef("scorer")]
ObjectiveRef = Annotated[ComponentConfig, ComponentRef("objective")]
SamplerRef = Annotated[ComponentConfig, ComponentRef("sampler")]
RetrieverRef = Annotated[ComponentConfig, ComponentRef("retriever")]
GuardRef = Annotated[ComponentConfig, ComponentRef("guard")]
PolicyRef = Annotated[ComponentConfig, ComponentRef("policy")]
MetricRef = Annotated[ComponentConfig, ComponentRef("metric")]
