from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rankloom.config import PipelineConfig, dump, expand, load_config
from rankloom.errors import ConfigError
from rankloom.registry import Registry

MODEL = """
models:
  seq:
    items:
      encoders:
        id: {type: embedding, dim: 8}
        title: {type: bert}
    queries:
      encoders:
        history: sasrec
    tasks: [softmax, {type: bpr, weight: 0.5, sampler: uniform, negatives: 4}]
"""


def wrong(text: Any, registry: Registry, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(text, overrides=overrides, registry=registry)
    return str(caught.value).splitlines()


def test_defaults(small: Registry) -> None:
    config = load_config("name: x\n", registry=small)
    assert (config.scorer.type, config.policy.type, config.fallback.type) == (
        "popularity",
        "greedy",
        "popularity",
    )
    assert [guard.type for guard in config.guards] == ["seen"]
    assert config.data.split.type == "leave_last_out"
    assert config.data.source is None
    assert [one.type for one in config.evaluation.metrics] == ["ndcg", "recall", "mrr", "hit_rate"]


def test_models_and_short_forms(small: Registry) -> None:
    config = load_config(MODEL, registry=small)
    model = config.models["seq"]
    assert config.scorer.type == "model"
    assert model.items.fusion is not None
    assert model.items.fusion.type == "concat"
    assert model.queries.fusion is None
    assert [task.name for task in model.tasks] == ["softmax", "bpr"]
    bpr = model.tasks[1]
    assert (bpr.weight, bpr.negatives, bpr.objective.type) == (0.5, 4, "bpr")
    assert bpr.sampler is not None
    assert load_config(MODEL.replace("models:\n  seq:", "model:\n    "), registry=small).models


def test_expand_and_dump_round_trip(small: Registry) -> None:
    config = load_config(MODEL, registry=small)
    assert load_config(expand(config), registry=small) == config
    assert load_config(dump(config), registry=small) == config
    assert load_config(config, registry=small) == config


def test_both_model_and_models(small: Registry) -> None:
    lines = wrong(MODEL + "model: {items: 1}\n", small)
    assert "either 'model' or 'models', not both" in lines[0]


def test_every_mistake_has_file_line_and_key(small: Registry, tmp_path: Path) -> None:
    path = tmp_path / "movie.yaml"
    path.write_text(
        "sed: 1\n"
        "data:\n"
        "  source: {type: frames, columns: {usr: u}}\n"
        "models:\n"
        "  seq:\n"
        "    items:\n"
        "      encoders:\n"
        "        title:\n"
        "          type: bert\n"
        "          lerning_rate: 3\n"
        "    queries: {encoders: {h: sasrex}}\n"
        "    tasks: [{type: softmax, wieght: 1, temperatur: 2}]\n"
        "scorer: {type: blend, parts: [ease, {type: blend, parts: [{type: ease, l3: 1}]}]}\n"
        '"{odd}": 1\n'
    )
    lines = [line.removeprefix(f"{path}:") for line in wrong(path, small)]
    assert lines[:6] == [
        "1: sed: unknown field for a pipeline. Did you mean 'seed'?",
        "3: data.source.columns.usr: unknown field. Did you mean 'user'?",
        "10: models.seq.items.encoders.title.lerning_rate: unknown field for encoder 'bert'. "
        "Did you mean 'learning_rate'?",
        "11: models.seq.queries.encoders.h: Unknown encoder 'sasrex'. Did you mean 'sasrec'? "
        "Installed: bert, embedding, reuse, sasrec.",
        "12: models.seq.tasks.0.temperatur: unknown field for objective 'softmax'. "
        "Did you mean 'temperature'?",
        "12: models.seq.tasks.0.wieght: unknown field. Did you mean 'weight'?",
    ]
    assert lines[6] == (
        "13: scorer.parts.1.parts.0.l3: unknown field for scorer 'ease'. Fields: type, l2."
    )
    assert lines[7].startswith("14: {odd}: unknown field")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: 1\nseed: 2\n", "<text>:2: seed: the key stands twice, first in line 1"),
        ("seed: [1\n", "not valid YAML"),
        ("- 1\n- 2\n", "<text>:1: expected a mapping"),
        ("seed: x\n", "<text>:1: seed: Input should be a valid integer"),
        ("seed: 1\nscorer: 3\n", "<text>:2: scorer: expected the name of a scorer"),
        ("scorer: {l2: 3}\n", "a scorer needs 'type'"),
        ("models:\n  a:\n    queries: {encoders: {x: embedding}}\n", "models.a.items: is required"),
        (
            "models:\n  a:\n    items: {encoders: {x: embedding}}\n    tasks: [softmax]\n",
            "a model with tasks needs 'queries: {encoders: ...}'",
        ),
        ("# nothing\n", "is empty"),
        ("seed: 1\nname: ../../x\n", "<text>:2: name: String should match pattern"),
        ("seed: 1\ntrainer:\n  acelerator: cpu\n", "<text>:3: trainer.acelerator: lightning"),
        ("seed: 1\ntrainer: {max_epochs: 3}\n", "trainer.max_epochs: set by Rankloom itself"),
    ],
)
def test_texts_that_are_wrong(text: str, words: str, small: Registry) -> None:
    assert words in wrong(text, small)[0]


def test_missing_files_suggest_a_neighbour(small: Registry, tmp_path: Path) -> None:
    assert "`rankloom init` writes one" in wrong(tmp_path / "a.yaml", small)[0]
    (tmp_path / "movies.yaml").write_text("seed: 1\n")
    assert (
        f"Did you mean {str(tmp_path / 'movies.yaml')!r}?"
        in wrong(str(tmp_path / "movie.yaml"), small)[0]
    )
    assert "is a folder" in wrong(tmp_path, small)[0]
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    assert "not UTF-8" in wrong(tmp_path / "latin.yaml", small)[0]


def test_overrides(small: Registry) -> None:
    config = load_config(
        MODEL,
        overrides=[
            "models.seq.training.learning_rate=1e-3",
            "models.seq.scorer=dot",
            "models.seq.scorer.cosine=true",
            "models.seq.tasks.0.weight=2",
            "evaluation.k=[5, 10]",
            "scorer=ease",
        ],
        registry=small,
    )
    model = config.models["seq"]
    assert model.training.learning_rate == pytest.approx(1e-3)
    assert dump(config)["models"]["seq"]["scorer"]["cosine"] is True
    assert (model.tasks[0].weight, config.evaluation.k, config.scorer.type) == (2, [5, 10], "ease")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("models.seq.training.epochs", "write KEY=VALUE"),
        ("models.seq.tasks.9.weight=1", "is a list of 2"),
        ("models.seq.training.epoks=3", "override 'models.seq.training.epoks=3': "),
        ("foo.bar=3", "override 'foo.bar=3': foo: unknown field"),
    ],
)
def test_wrong_overrides(override: str, words: str, small: Registry) -> None:
    assert words in wrong(MODEL, small, override)[0]


def test_typed_configs_are_checked_too(small: Registry) -> None:
    ease = small.get("scorer", "ease").config(type="ease")
    context = {"registry": small}
    config = PipelineConfig.model_validate({"scorer": ease}, context=context)
    assert config.scorer is ease
    assert load_config(config, registry=small) == config
    with pytest.raises(ValidationError, match="not the config of a policy"):
        PipelineConfig.model_validate({"policy": ease}, context=context)
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 3  # type: ignore[misc]
