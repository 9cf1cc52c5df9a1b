"""Token states of text encoders: transformers' own, cached, tuned, and read by a fusion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from pydantic import ValidationError

from rankloom.api import Pipeline
from rankloom.data.fields import FieldSpec
from rankloom.protocols import Build
from rankloom_plugins.text.bert import BertEncoder
from rankloom_plugins.text.plugin import BertConfig

TEXTS = ["star war", None, "love", "a b c d e f g h"]


def build(folder: Path, **settings: Any) -> BertEncoder:
    config = BertConfig(model=str(folder), **settings)
    made = BertEncoder(config, Build(field=FieldSpec("item.title", "text")))
    made.load()
    return made.eval()


@pytest.fixture(scope="module")
def reference(tiny_bert: Path) -> list[torch.Tensor | None]:
    """The states of each text alone."""
    from transformers import BertModel, BertTokenizerFast

    tokenizer = BertTokenizerFast.from_pretrained(tiny_bert)
    network = BertModel.from_pretrained(tiny_bert).eval()
    with torch.no_grad():
        return [
            None
            if text is None
            else network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            for text in TEXTS
        ]


@pytest.mark.parametrize("tuning", ["frozen", "full"])
@pytest.mark.parametrize("keep", [2, 6, 14])
def test_states_are_transformers_own(
    tiny_bert: Path, reference: list[torch.Tensor | None], tuning: str, keep: int
) -> None:
    encoder = build(tiny_bert, tokens=keep, tuning=tuning)
    with torch.no_grad():
        found = encoder(encoder.precompute(encoder.collate(TEXTS)))
    assert found.tokens is not None
    assert found.mask is not None
    assert found.tokens.shape == (4, keep, 16)
    for row, want in enumerate(reference):
        n = 0 if want is None else min(len(want), keep)
        assert found.mask[row].tolist() == [True] * n + [False] * (keep - n)
        if want is not None:
            torch.testing.assert_close(found.tokens[row, :n], want[:n], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(found.vectors[row], want.mean(0), atol=1e-5, rtol=1e-4)
        assert not found.tokens[row, n:].any()


def test_windows_keep_the_first_ones_tokens(tiny_bert: Path) -> None:
    cut = build(tiny_bert, tokens=4, max_length=5)
    windows = build(tiny_bert, tokens=4, max_length=5, long_text="windows")
    one, two = (e(e.precompute(e.collate(TEXTS))) for e in (cut, windows))
    assert torch.equal(one.tokens, two.tokens)
    assert torch.equal(one.mask, two.mask)


def test_without_tokens_there_are_none_and_caches_differ(tiny_bert: Path) -> None:
    plain, kept = build(tiny_bert), build(tiny_bert, tokens=4)
    assert plain(plain.precompute(plain.collate(TEXTS))).tokens is None
    assert plain.fingerprint() != kept.fingerprint()
    with pytest.raises(ValidationError, match="tokens are as wide as the model's"):
        BertConfig(model="x", tokens=4, compress={"dim": 8})


@pytest.mark.parametrize("tuning", ["frozen", "full"])
def test_an_attention_fusion_learns_from_them(tiny_bert: Path, tmp_path: Path, tuning: str) -> None:
    generator = torch.Generator().manual_seed(0)
    letters = "abcdefghij"
    titles = [" ".join(letters[(n + k) % 10] for k in range(4)) for n in range(20)]
    rows = [
        (f"u{user}", f"i{item}", time)
        for user in range(30)
        for time, item in enumerate(torch.randperm(20, generator=generator)[:6].tolist())
    ]
    text = {"type": "bert", "field": "title", "model": str(tiny_bert), "tokens": 6}
    task = {"type": "softmax", "candidates": "sampled", "negatives": 8}
    config = {
        "model": {
            "items": {
                "encoders": {
                    "id": {"type": "embedding", "dim": 8},
                    "t": {**text, "tuning": tuning},
                },
                "fusion": {"type": "attention", "dim": 8, "over": "tokens", "heads": 2},
            },
            "queries": {"encoders": {"history": "history_mean"}},
            "tasks": [task],
            "training": {"epochs": 1, "learning_rate": 0.01},
        },
    }
    pipeline = Pipeline.from_config(config, base_dir=tmp_path).fit(
        pl.DataFrame(rows, schema=["user", "item", "time"], orient="row"),
        pl.DataFrame({"item": [f"i{n}" for n in range(20)], "title": titles}),
        progress=False,
    )
    before = pipeline.recommend("u1", k=3)
    pipeline.save(tmp_path / "bundle")
    again = Pipeline.load(tmp_path / "bundle", base_dir=tmp_path)
    assert again.recommend("u1", k=3).items == before.items
