"""What trains, what a bundle holds, and that gradients get there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from pydantic import ValidationError

from rankloom.api import Pipeline
from rankloom.data.fields import FieldSpec
from rankloom.errors import ConfigError
from rankloom.protocols import Build
from rankloom_plugins.text.bert import BertEncoder
from rankloom_plugins.text.gpt2 import Gpt2Encoder
from rankloom_plugins.text.plugin import BertConfig, Gpt2Config

TEXTS = ["star war", "love", None, "a b c d e f g", "war, love, star"]
TUNINGS: list[Any] = [{"last_layers": 1}, "lora", {"lora": {"rank": 2}}, "full"]


def build(folder: Path, tuning: Any, **settings: Any) -> BertEncoder:
    config = BertConfig(model=str(folder), tuning=tuning, **settings)
    encoder = BertEncoder(config, Build(field=FieldSpec("item.title", "text")))
    encoder.load()
    return encoder.eval()


def encode(encoder: Any, values: list[Any]) -> torch.Tensor:
    vectors: torch.Tensor = encoder(encoder.precompute(encoder.collate(values))).vectors
    return vectors


@pytest.mark.parametrize("tuning", TUNINGS)
def test_starts_from_the_frozen_vectors(tiny_bert: Path, tuning: Any) -> None:
    frozen = encode(build(tiny_bert, "frozen"), TEXTS)
    tuned = build(tiny_bert, tuning, batch_size=2)
    torch.testing.assert_close(encode(tuned, TEXTS), frozen, atol=1e-5, rtol=1e-5)
    assert tuned.fingerprint is None  # nothing may be cached
    assert tuned.expensive


def trained(encoder: BertEncoder) -> set[str]:
    return {name for name, weight in encoder.named_parameters() if weight.requires_grad}


def test_what_trains(tiny_bert: Path) -> None:
    last = trained(build(tiny_bert, {"last_layers": 1}))
    assert last
    assert all(".layer.2." in name for name in last)
    lora = trained(build(tiny_bert, "lora"))
    assert lora
    assert all("lora_" in name for name in lora)
    full = trained(build(tiny_bert, "full"))
    assert any("word_embeddings" in name for name in full)
    assert not any("pooler" in name for name in full)


@pytest.mark.parametrize("tuning", TUNINGS)
def test_every_trained_weight_gets_a_gradient(tiny_bert: Path, tuning: Any) -> None:
    encoder = build(tiny_bert, tuning, normalize=True).train()
    features = encoder.precompute(encoder.collate(TEXTS))
    first = torch.optim.SGD([p for p in encoder.parameters() if p.requires_grad], lr=0.5)
    for _ in range(2):  # LoRA's second matrix starts at zero
        first.zero_grad()
        (encoder(features).vectors * torch.linspace(-1, 1, 16)).sum().backward()
        first.step()
    for name, weight in encoder.named_parameters():
        if weight.requires_grad and "embeddings" not in name and "key.bias" not in name:
            assert weight.grad is not None, name
            assert weight.grad.abs().sum() > 0, name
        if not weight.requires_grad:
            assert weight.grad is None, name


def test_gpt2_takes_lora(tiny_gpt2: Path) -> None:
    config = Gpt2Config(model=str(tiny_gpt2), tuning={"lora": {"rank": 2}})
    encoder = Gpt2Encoder(config, Build(field=FieldSpec("item.title", "text")))
    encoder.load()
    names = [name for name, weight in encoder.named_parameters() if weight.requires_grad]
    assert names
    assert all("lora_" in name for name in names)


def test_mistakes_say_what_there_is(tiny_bert: Path) -> None:
    with pytest.raises(ConfigError, match="has 3 layers"):
        build(tiny_bert, {"last_layers": 9})
    with pytest.raises(ConfigError, match="query"):
        build(tiny_bert, {"lora": {"targets": ["nowhere"]}})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"tuning": "lorra"}, "Did you mean 'lora'"),
        ({"tuning": {"last_layer": 2}}, "Did you mean 'last_layers'"),
        ({"tuning": {"last_layers": 0}}, "greater than or equal to 1"),
        ({"tuning": "last_layers"}, "{last_layers: 2}"),
        ({"tuning": 3}, "not 3"),
        ({"tuning": "lora", "compress": {"dim": 8}}, "for frozen models"),
    ],
)
def test_settings_that_are_wrong(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(says)):
        BertConfig(model="x", **wrong)


def config(folder: Path, tuning: Any) -> dict[str, Any]:
    title = {"type": "bert", "model": str(folder), "tuning": tuning}
    return {
        "model": {
            "items": {"encoders": {"title": title}},
            "queries": {"encoders": {"history": "history_mean"}},
            "tasks": [{"type": "softmax", "candidates": "sampled", "negatives": 3}],
            "training": {"epochs": 1, "learning_rate": 0.01, "batch_size": 8},
        }
    }


def frames() -> dict[str, pl.DataFrame]:
    rows = [(f"u{u}", f"i{(u * 3 + k) % 8}", k) for u in range(12) for k in range(5)]
    items = {"item": [f"i{k}" for k in range(8)], "title": [f"{c} star" for c in "abcdefgh"]}
    return {
        "interactions": pl.DataFrame(rows, schema=["user", "item", "time"], orient="row"),
        "items": pl.DataFrame(items),
    }


@pytest.mark.parametrize("tuning", ["lora", {"last_layers": 1}])
def test_a_bundle_holds_what_trained_alone(tiny_bert: Path, tuning: Any, tmp_path: Path) -> None:
    from safetensors import safe_open

    pipeline = Pipeline.from_config(config(tiny_bert, tuning), base_dir=tmp_path)
    pipeline.fit(**frames(), progress=False)
    before = encode(pipeline.parts.models["model"].items.encoders["title"], ["a star"])
    bundle = pipeline.save(tmp_path / "bundle")
    with safe_open(bundle / "state.safetensors", framework="pt") as saved:
        keys = [key for key in saved.keys() if key.startswith("model/")]  # noqa: SIM118
    assert keys
    assert all("lora_" in key or ".layer.2." in key for key in keys)
    again = Pipeline.load(bundle, base_dir=tmp_path)
    after = encode(again.parts.models["model"].items.encoders["title"], ["a star"])
    torch.testing.assert_close(after, before)
    frozen = encode(build(tiny_bert, "frozen"), ["a star"])
    assert not torch.allclose(after, frozen, atol=1e-4)
    again.add_items([{"id": "new", "title": "war love"}])
    assert len(again.recommend(user="u1", k=3)) == 3


def test_a_catalog_loss_is_refused(tiny_bert: Path) -> None:
    wrong = config(tiny_bert, "lora")
    wrong["model"]["tasks"] = ["softmax"]
    with pytest.raises(ConfigError, match="whole catalog at every step"):
        Pipeline.from_config(wrong)
