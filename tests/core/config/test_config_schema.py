from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from rankloom.config import dump, json_schema, load_config
from rankloom.registry import Registry


@pytest.fixture(scope="module")
def schema(small: Registry) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(json_schema(small)))
    jsonschema.Draft7Validator.check_schema(made)
    return made


def errors(schema: dict[str, Any], value: Any) -> list[str]:
    return [one.message for one in jsonschema.Draft7Validator(schema).iter_errors(value)]


def model(**changes: Any) -> dict[str, Any]:
    return {
        "items": {"encoders": {"id": {"type": "embedding", "dim": 8}}},
        "queries": {"encoders": {"history": "sasrec"}},
        **changes,
    }


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"scorer": "ease", "policy": {"type": "greedy"}},
        {"scorer": {"type": "blend", "parts": ["ease", {"type": "blend", "parts": ["ease"]}]}},
        {"model": model(tasks=["softmax"])},
        {"models": {"a": model(tasks=[{"type": "softmax", "temperature": 2, "weight": 0.5}])}},
        {"models": {"a": model(tasks=[{"objective": "softmax", "weight": 0.5}])}},
    ],
)
def test_good_files_pass(schema: dict[str, Any], value: Any, small: Registry) -> None:
    assert errors(schema, value) == []
    expanded = dump(load_config(value, registry=small))
    assert errors(schema, json.loads(json.dumps(expanded))) == []


@pytest.mark.parametrize(
    "value",
    [
        {"scorer": "eese"},
        {"scorer": {"type": "ease", "l3": 1}},
        {"scorer": {"type": "blend", "parts": ["ease", {"type": "ease", "l3": 1}]}},
        {"policy": "ease"},
        {"models": {"a": model(tasks=["sofmax"])}},
        {"models": {"a": model(tasks=[{"type": "softmax", "wieght": 1}])}},
        {"trainr": {}},
    ],
)
def test_bad_files_fail(schema: dict[str, Any], value: Any) -> None:
    assert errors(schema, value)


def test_descriptions_reach_the_schema(schema: dict[str, Any]) -> None:
    assert schema["properties"]["policy"]["description"].startswith("What turns")


def test_shipped_examples(repo_root: Path) -> None:
    validator = jsonschema.Draft7Validator(json_schema())
    for path in sorted((repo_root / "examples").glob("*.yaml")):
        load_config(path)
        found = [one.message for one in validator.iter_errors(yaml.safe_load(path.read_text()))]
        assert found == [], path.name
