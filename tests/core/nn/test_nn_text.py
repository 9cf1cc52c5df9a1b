from __future__ import annotations

import json
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

from rankloom.errors import ConfigError
from rankloom.nn.pooling import Pooling
from rankloom.nn.text import TextModel, TextSettings, as_text, length_batches, text_settings

TEXTS = ["star war", "love", "a b c d e f g h i j a b c d e", "war, love, star", "a a a"]


@lru_cache
def plain(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()


def reference(folder: Path, text: str, how: str, max_length: int) -> torch.Tensor:
    """One text alone through transformers' own forward pass: no padding, no batch."""
    tokenizer, network = plain(folder)
    tokens = tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt")
    with torch.no_grad():
        states = network(**tokens).last_hidden_state[0]
    return {"mean": states.mean(0), "cls": states[0], "max": states.max(0).values}[how]


@pytest.mark.parametrize("how", ["mean", "cls", "max"])
@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_vectors_equal_transformers(tiny_bert: Path, how: Pooling, batch_size: int) -> None:
    model = TextModel(str(tiny_bert), Path())
    ids, mask = model.tokenize(TEXTS, 12)
    got = model.vectors(ids, mask, TextSettings(12, how, False), batch_size)[0]
    want = torch.stack([reference(tiny_bert, text, how, 12) for text in TEXTS])
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    unit = model.vectors(ids, mask, TextSettings(12, how, True), batch_size)[0]
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(len(TEXTS)))


def test_extra_padding_and_empty_rows_change_nothing(tiny_bert: Path) -> None:
    model = TextModel(str(tiny_bert), Path())
    ids, mask = model.tokenize(TEXTS[:2], 12)
    settings = TextSettings(12, "mean", False)
    narrow = model.vectors(ids, mask, settings, 8)[0]
    pad = torch.zeros(2, 5, dtype=torch.long)
    blank = torch.zeros(1, ids.shape[1] + 5, dtype=torch.long)
    wide = model.vectors(
        torch.cat([torch.cat([ids, pad], 1), blank]),
        torch.cat([torch.cat([mask, pad], 1), blank]),
        settings,
        8,
    )[0]
    torch.testing.assert_close(wide[:2], narrow, atol=1e-5, rtol=1e-5)
    assert wide[2].eq(0).all()
    assert model.vectors(blank, blank, settings, 8)[0].eq(0).all()


def test_vectors_may_enter_a_backward_pass(tiny_bert: Path) -> None:
    model = TextModel(str(tiny_bert), Path())
    vectors = model.vectors(*model.tokenize(["star"], 12), TextSettings(12, "mean", False), 8)[0]
    layer = torch.nn.Linear(16, 1)
    layer(vectors).sum().backward()
    torch.testing.assert_close(layer.weight.grad, vectors)
    assert not any(p.requires_grad for p in model.network.parameters())


def test_construction_reads_no_weights(tiny_bert: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_bert / "config.json", tmp_path)
    model = TextModel(str(tmp_path), Path())
    assert model.hidden_size == 16
    with pytest.raises(ConfigError, match="no weights"):
        model.digest()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (" \n", None),
        (float("nan"), None),
        ([], None),
        (["Comedy", None, "Drama"], "Comedy, Drama"),
        (7, "7"),
        ("caf\u00e9", "caf\u00e9"),
        ("a\ud800", "a?"),
    ],
)
def test_as_text(value: Any, text: str | None) -> None:
    assert as_text(value) == text


def test_length_batches_cover_every_row_once() -> None:
    lengths = torch.tensor([3, 9, 1, 9, 4])
    batches = length_batches(lengths, 2)
    assert torch.cat(list(batches)).tolist() == [1, 3, 4, 0, 2]
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert list(length_batches(torch.empty(0), 2)) == []


def sentence_transformer(tiny_bert: Path, tmp_path: Path, pooling: dict[str, bool]) -> Path:
    folder = tmp_path / "st"
    shutil.copytree(tiny_bert, folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 16, **pooling})
    )
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [{"path": path, "type": f"sentence_transformers.models.{k}"} for path, k in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 10}))
    return folder


def test_sentence_transformers_directory_is_respected(tiny_bert: Path, tmp_path: Path) -> None:
    folder = sentence_transformer(
        tiny_bert, tmp_path, {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    )
    config = json.loads((folder / "config.json").read_text())
    assert text_settings(folder, config, 128, None, None) == TextSettings(10, "cls", True)
    assert text_settings(folder, config, 4, "max", False) == TextSettings(4, "max", False)
    assert text_settings(tiny_bert, config, 128, None, None) == TextSettings(12, "mean", False)


def test_unknown_pooling_is_an_error_unless_overridden(tiny_bert: Path, tmp_path: Path) -> None:
    folder = sentence_transformer(tiny_bert, tmp_path, {"pooling_mode_lasttoken": True})
    with pytest.raises(ConfigError, match="pooling_mode_lasttoken"):
        text_settings(folder, {}, 8, None, None)
    assert text_settings(folder, {}, 8, "mean", None).pooling == "mean"


def test_weights_of_another_architecture_are_refused(tiny_bert: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "broken"
    shutil.copytree(tiny_bert, folder)
    tensors = load_file(folder / "model.safetensors")
    kept = {name: t for name, t in tensors.items() if "layer.1" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match="lack 16 tensors"):
        _ = TextModel(str(folder), Path()).network


def test_code_in_a_model_directory_is_never_run(tiny_bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "remote"
    shutil.copytree(tiny_bert, folder)
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "evil"
    config["auto_map"] = {"AutoModel": "evil.Evil", "AutoConfig": "evil.EvilConfig"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ConfigError, match="never run"):
        _ = TextModel(str(folder), Path()).network
    assert not (tmp_path / "ran").exists()


def test_no_text_encoder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "t5", "d_model": 8}')
    with pytest.raises(ConfigError, match="'t5' without hidden_size"):
        TextModel(str(tmp_path), Path())
