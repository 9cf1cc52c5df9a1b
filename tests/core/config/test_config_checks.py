from __future__ import annotations

from typing import Any

import pytest

from rankloom.config import load_config
from rankloom.errors import ConfigError
from rankloom.registry import Registry


def pipeline(**changes: Any) -> dict[str, Any]:
    model: dict[str, Any] = {
        "items": {"encoders": {"id": {"type": "embedding", "dim": 8}}},
        "queries": {"encoders": {"history": "sasrec"}},
        "tasks": ["softmax"],
    }
    outer = {key: value for key, value in changes.items() if key in OUTER}
    model.update({key: value for key, value in changes.items() if key not in OUTER})
    return {"models": {"seq": model}, **outer}


OUTER = ("scorer", "retriever", "fallback", "evaluation")
NOBODY = {"type": "model", "name": "no"}
TEXT = {"encoders": {"title": {"type": "bert", "tuning": "full"}}}
REUSE = {"encoders": {"text": {"type": "reuse", "encoder": "titel"}}}
WIDE = {"encoders": {"user": {"type": "embedding", "field": "user.id", "dim": 4}}}


def test_a_pipeline_that_fits_together(small: Registry) -> None:
    load_config(pipeline(retriever={"type": "exact", "model": "seq"}), registry=small)
    load_config(pipeline(items=TEXT, tasks=["bpr"]), registry=small)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scorer": {"type": "model", "name": "sec"}}, "scorer.name: there is no model 'sec'"),
        ({"scorer": {"type": "model", "task": "mse"}}, "scorer.task: the model has no task 'mse'"),
        ({"retriever": {"type": "exact", "model": "x"}}, "retriever.model: there is no model 'x'"),
        ({"retriever": "exact", "scorer": "ease", "tasks": []}, ""),
        ({"scorer": "ease", "tasks": ["softmax"], "queries": WIDE}, "vectors of one width"),
        ({"items": TEXT}, "the text encoder 'title' trains"),
        ({"tasks": [{"type": "softmax", "sampler": "uniform"}]}, "samples no negatives"),
        ({"queries": REUSE}, "the item tower has no encoder 'titel'"),
        ({"items": {"encoders": {"h": "sasrec"}}}, "move it to 'queries'"),
        ({"items": {"encoders": {"user.age": "embedding"}}}, "encoders"),
        ({"training": {"monitor": "ndgc@10"}}, "no measure 'ndgc'"),
        ({"training": {"monitor": "share@10"}}, "'share' cannot be watched: it needs of"),
        (
            {"evaluation": {"compare": {"x": {"type": "blend", "parts": [NOBODY]}}}},
            "evaluation.compare.x.parts.0.name: there is no model 'no'",
        ),
    ],
)
def test_what_does_not_fit_together(changes: dict[str, Any], words: str, small: Registry) -> None:
    config = pipeline(**changes)
    if not words:
        load_config(config, registry=small)
        return
    with pytest.raises(ConfigError) as caught:
        load_config(config, registry=small)
    assert words in str(caught.value)


def test_scorers_without_inner_product(small: Registry) -> None:
    config = pipeline()
    config["models"]["seq"]["scorer"] = "mlp"
    with pytest.raises(ConfigError, match=r"models\.seq\.tasks\.0: objective 'softmax' scores"):
        load_config(config, registry=small)
    config["models"]["seq"]["tasks"] = ["bpr"]
    load_config(config, registry=small)
    config["retriever"] = "exact"
    with pytest.raises(ConfigError, match=r"retriever: a retriever searches by inner product"):
        load_config(config, registry=small)


def test_several_models_must_be_named(small: Registry) -> None:
    config = pipeline()
    config["models"]["other"] = config["models"]["seq"]
    with pytest.raises(ConfigError, match="which model\\? There are several: seq, other"):
        load_config(config, registry=small)
    with pytest.raises(ConfigError, match="the pipeline has no model"):
        load_config({"scorer": "model"}, registry=small)
