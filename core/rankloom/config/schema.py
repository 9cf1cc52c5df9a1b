"""The JSON Schema of pipeline files, with every installed component.

Draft 7, because that is what yaml-language-server reads. A reference to any component of a kind is
``if``/``then`` on ``type``: it gives one precise message where ``oneOf`` gives a cascade.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import models_json_schema

from rankloom.components import KINDS, ComponentSpec
from rankloom.config.models import ModelConfig, TaskConfig
from rankloom.config.pipeline import PipelineConfig
from rankloom.config.refs import KIND_MARKER
from rankloom.errors import PluginError
from rankloom.registry import Registry, default_registry

__all__ = ["json_schema"]

_Schema = dict[str, Any]
_REF = "#/$defs/{model}"


def json_schema(registry: Registry | None = None) -> dict[str, Any]:
    """Return the schema, ready for ``json.dumps``.

    Args:
        registry: Whose components may be used; default: the installed plugins.
    """
    registry = registry or default_registry()
    specs = {kind: registry.specs(kind) for kind in KINDS}
    configs: list[type[BaseModel]] = [spec.config for kind in KINDS for spec in specs[kind]]
    models = list(dict.fromkeys([PipelineConfig, ModelConfig, TaskConfig, *configs]))
    wanted: list[tuple[Any, Literal["validation"]]] = [(model, "validation") for model in models]
    try:
        refs, schema = models_json_schema(wanted, ref_template=_REF)
    except PydanticInvalidForJsonSchema:
        _blame(specs)
        raise
    defs: dict[str, _Schema] = schema["$defs"]
    for kind in KINDS:
        choices = {spec.name: refs[spec.config, "validation"] for spec in specs[kind]}
        defs[_any(kind)] = _choice(choices)
    root = defs[_name(refs[PipelineConfig, "validation"]["$ref"])]
    root["properties"]["model"] = {
        "allOf": [refs[ModelConfig, "validation"]],
        "description": "The only model; short for 'models: {model: ...}'.",
    }
    _add_task_forms(
        defs,
        refs[TaskConfig, "validation"]["$ref"],
        {spec.name: refs[spec.config, "validation"]["$ref"] for spec in specs["objective"]},
    )
    whole = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **root,
        "title": "Rankloom pipeline",
        "$defs": defs,
    }
    return dict(_resolve_markers(whole))


def _blame(specs: Mapping[str, Iterable[ComponentSpec]]) -> None:
    """Raise for the first component whose settings have no schema."""
    for spec in (spec for own in specs.values() for spec in own):
        try:
            spec.config.model_json_schema()
        except PydanticInvalidForJsonSchema as error:
            raise PluginError(
                f"The settings of the {spec.kind} {spec.name!r} (plugin {spec.plugin!r}) cannot be "
                f"written as JSON Schema: {error.message.rstrip('.')}. Use types that YAML can "
                f"hold, or disable the plugin with RANKLOOM_DISABLE_PLUGINS={spec.plugin}."
            ) from error


def _any(kind: str) -> str:
    return f"Any{kind.capitalize()}"


def _name(ref: str) -> str:
    return ref.rpartition("/")[2]


def _choice(choices: dict[str, _Schema]) -> _Schema:
    """A component by its name alone, or a mapping whose ``type`` says which schema holds."""
    names = sorted(choices)
    mapping: _Schema = {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": names}},
        "allOf": [
            {"if": {"properties": {"type": {"const": name}}}, "then": choices[name]}
            for name in names
        ],
    }
    return _text_or(names, mapping)


def _text_or(names: list[str], mapping: _Schema) -> _Schema:
    return {"if": {"type": "string"}, "then": {"enum": names}, "else": mapping}


def _add_task_forms(defs: dict[str, _Schema], task: str, objectives: dict[str, str]) -> None:
    """A task may be an objective's name, or its keys and the task's in one mapping."""
    full = defs[_name(task)]
    own = {key: value for key, value in full["properties"].items() if key != "objective"}
    choices = {}
    for name, ref in objectives.items():
        objective = defs[_name(ref)]
        merged = {**objective, "properties": {**objective["properties"], **own}}
        defs[f"Task_{_name(ref)}"] = merged
        choices[name] = {"$ref": f"#/$defs/Task_{_name(ref)}"}
    short = _choice(choices)
    defs[f"{_name(task)}Full"] = full
    defs[_name(task)] = {
        "if": {"type": "object", "required": ["objective"]},
        "then": {"$ref": f"{task}Full"},
        "else": short,
    }


def _resolve_markers(value: Any) -> Any:
    if isinstance(value, dict):
        if KIND_MARKER in value:
            reference = {"$ref": f"#/$defs/{_any(value[KIND_MARKER])}"}
            # Draft 7 ignores what stands beside a $ref, so descriptions go around it.
            rest = {key: inner for key, inner in value.items() if key != KIND_MARKER}
            return {**rest, "allOf": [reference]} if rest else reference
        return {key: _resolve_markers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_resolve_markers(inner) for inner in value]
    return value
