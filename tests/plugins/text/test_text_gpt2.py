"""The encoder ``gpt2`` against transformers' own forward pass."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

from rankloom.data.cache import EmbeddingCache
from rankloom.data.fields import FieldSpec
from rankloom.nn.encoding import encode_values
from rankloom.protocols import Build
from rankloom_plugins.text.gpt2 import Gpt2Encoder
from rankloom_plugins.text.plugin import Gpt2Config

TEXTS = ["star war", "love", "Sleepless in Seattle, a long title that is cut", "ü ☃", "a b"]


def build(folder: Path, **settings: Any) -> Gpt2Encoder:
    config = Gpt2Config(model=str(folder), **settings)
    return Gpt2Encoder(config, Build(field=FieldSpec("item.title", "text")))


def encode(encoder: Gpt2Encoder, values: list[Any]) -> torch.Tensor:
    return encoder(encoder.precompute(encoder.collate(values))).vectors


@lru_cache
def plain(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoTokenizer, GPT2Model

    return AutoTokenizer.from_pretrained(folder), GPT2Model.from_pretrained(folder).eval()


def reference(folder: Path, text: str, how: str) -> torch.Tensor:
    """One text alone, without padding."""
    tokenizer, network = plain(folder)
    tokens = tokenizer(text, truncation=True, max_length=16, return_tensors="pt")
    with torch.no_grad():
        states = network(input_ids=tokens["input_ids"]).last_hidden_state[0]
    return states.mean(0) if how == "mean" else states[-1]


@pytest.mark.parametrize("how", ["mean", "last"])
@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_equals_transformers_whatever_the_batch(tiny_gpt2: Path, how: str, batch_size: int) -> None:
    encoder = build(tiny_gpt2, pooling=how, batch_size=batch_size)
    want = torch.stack([reference(tiny_gpt2, text, how) for text in TEXTS])
    torch.testing.assert_close(encode(encoder, TEXTS), want, atol=1e-5, rtol=1e-5)


def test_width_and_limit_come_from_the_config(tiny_gpt2: Path) -> None:
    encoder = build(tiny_gpt2, max_length=500)
    assert encoder.dim == 16
    assert encoder.settings.max_length == 16


def test_windows_are_averaged(tiny_gpt2: Path) -> None:
    text = "star war love " * 12
    encoder = build(tiny_gpt2, long_text="windows", max_windows=3)
    tokenizer, network = plain(tiny_gpt2)
    ids = tokenizer(text, return_tensors="pt")["input_ids"][0]
    assert len(ids) > 32
    with torch.no_grad():
        states = [
            network(input_ids=part[None]).last_hidden_state[0].mean(0)
            for part in torch.split(ids[:48], 16)
        ]
    got = encode(encoder, ["love", text])
    torch.testing.assert_close(got[1], torch.stack(states).mean(0), atol=1e-5, rtol=1e-5)
    short = encode(build(tiny_gpt2), ["love"])
    torch.testing.assert_close(got[:1], short, atol=1e-5, rtol=1e-5)


def test_ten_megabytes_of_text_are_cut_at_once(tiny_gpt2: Path, tmp_path: Path) -> None:
    encoder = build(tiny_gpt2)
    features = encoder.collate(["star war " * 1_200_000, None, "  "])
    assert features["input_ids"].shape == (3, 16)
    assert features.present.tolist() == [True, False, False]
    found, count = encode_values(encoder, ["a", "b"], cache=EmbeddingCache(tmp_path))
    assert count == 2
    assert found.present.all()
