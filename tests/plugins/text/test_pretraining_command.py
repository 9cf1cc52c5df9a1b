"""``rankloom pretrain`` from catalog to model directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from pydantic import ValidationError
from typer.testing import CliRunner

from rankloom.cli import app
from rankloom.errors import ConfigError, DataError
from rankloom.nn.text import TextModel
from rankloom.protocols import Build
from rankloom_plugins.text.bert import BertEncoder
from rankloom_plugins.text.gpt2 import Gpt2Encoder
from rankloom_plugins.text.plugin import BertConfig, Gpt2Config
from rankloom_plugins.text.pretraining import command
from rankloom_plugins.text.pretraining.catalog import read_catalog
from rankloom_plugins.text.pretraining.command import Pretrain
from rankloom_plugins.text.pretraining.plugin import PretrainConfig

WORDS = "abcdefghij"


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of 70 texts of four letters each; users like one letter."""
    folder = tmp_path_factory.mktemp("shop")
    generator = torch.Generator().manual_seed(0)
    titles: dict[str, None] = {}
    while len(titles) < 70:
        letters = torch.randperm(10, generator=generator)[:4].sort().values.tolist()
        titles[" ".join(WORDS[at] for at in letters)] = None
    rows = []
    for user in range(50):
        own = [n for n, title in enumerate(titles) if WORDS[user % 10] in title]
        picked = torch.randperm(len(own), generator=generator)[:12].tolist()
        rows += [(f"u{user}", f"i{own[at]}", time) for time, at in enumerate(picked)]
    pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").write_csv(folder / "log.csv")
    items = {"item": [f"i{n}" for n in range(70)], "title": list(titles), "note": ["same"] * 70}
    pl.DataFrame(items).write_csv(folder / "items.csv")
    (folder / "shop.yaml").write_text(
        "seed: 3\n"
        "data:\n"
        "  source: {type: tables, interactions: log.csv, items: items.csv,\n"
        "           item_fields: {title: text, note: text}}\n"
        "  split: {type: cold_items, fraction: 0.2}\n"
    )
    return folder


def options(shop: Path, out: Path, **given: Any) -> PretrainConfig:
    defaults = {"config": shop / "shop.yaml", "out": out, "field": "title", "json": True}
    return PretrainConfig.model_validate({**defaults, **given})


def pretrained(shop: Path, out: Path, **given: Any) -> dict[str, Any]:
    return Pretrain(options(shop, out, **given), Build(base_dir=shop)).pretrain()


def vectors(encoder: Any, texts: list[str]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = encoder(encoder.precompute(encoder.collate(texts))).vectors
    return found


def test_masked_language_model(shop: Path, tiny_bert: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    report = pretrained(shop, out, model=str(tiny_bert), epochs=8, learning_rate=0.01)
    assert report["objective"] == "mlm"
    assert report["new_head"]
    assert report["after"] < report["before"]
    assert report["after"] < len(WORDS) + 1  # it has learned that texts are made of letters
    assert sum(report["texts"].values()) == 56
    assert report["texts"]["held_out"] == report["texts"]["validation"] == 6
    assert set(report["cold"]["rows"]) == {"before", "after", "tfidf"}
    for row in report["cold"]["rows"].values():
        assert 0 <= row["low"] <= row["mean"] <= row["high"] <= 1
    encoder = BertEncoder(BertConfig(model=str(out)), Build())
    assert vectors(encoder, ["a b", "c d"]).shape == (2, 16)
    again = json.loads((out / "pretrain.json").read_text())
    assert again["done"]
    assert again["after"] == report["after"]
    assert not list(out.glob("**/*.ckpt"))
    # What was written can be gone on from, head and all.
    further = pretrained(shop, tmp_path / "more", model=str(out), epochs=1, evaluate=False)
    assert not further["new_head"]
    assert further["before"] == pytest.approx(report["after"], rel=1e-4)


def test_gpt2_from_nothing(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "gpt"
    small = {"layers": 2, "width": 16, "heads": 2, "vocabulary": 300, "batch_size": 8}
    report = pretrained(shop, out, epochs=12, learning_rate=0.01, max_length=16, **small)
    assert report["objective"] == "clm"
    assert report["before"] is None
    assert report["after"] < 6
    encoder = Gpt2Encoder(Gpt2Config(model=str(out)), Build())
    assert vectors(encoder, ["a b", "c d"]).shape == (2, 16)
    network = TextModel(str(out), Path()).load_network()
    assert network.config.model_type == "gpt2"


def test_the_same_seed_gives_the_same_weights(shop: Path, tiny_bert: Path, tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        pretrained(shop, tmp_path / name, model=str(tiny_bert), epochs=2, evaluate=False)
        digests.append(TextModel(str(tmp_path / name), Path()).digest())
    assert digests[0] == digests[1]


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_factors_as_target(shop: Path, tiny_bert: Path, tmp_path: Path, tuning: str) -> None:
    given = {"model": str(tiny_bert), "objective": "factors", "factors": 8, "tuning": tuning}
    report = pretrained(
        shop, tmp_path / "m", epochs=15, patience=15, learning_rate=0.01, batch_size=8, **given
    )
    assert report["measure"] == "ndcg@20"
    assert 0 < report["before"] <= 1
    assert 0 < report["after"] <= 1
    if tuning == "lora":
        assert report["trained_weights"] < report["weights"] / 3
    plain = TextModel(str(tmp_path / "m"), Path()).load_network()
    assert not any("lora" in name for name, _ in plain.named_parameters())


def test_two_processes_train_as_one(shop: Path, tiny_bert: Path, tmp_path: Path) -> None:
    given = {"model": str(tiny_bert), "objective": "factors", "factors": 8, "evaluate": False}
    given |= {"epochs": 2, "learning_rate": 0.01, "batch_size": 16}
    two = {"accelerator": "cpu", "devices": 2}
    reports = [
        pretrained(shop, tmp_path / name, trainer=trainer, **given)
        for name, trainer in (("one", {"accelerator": "cpu"}), ("two", two))
    ]
    for name in ("before", "validation_before"):
        assert reports[0][name] == pytest.approx(reports[1][name], abs=1e-6)
    assert [row["epoch"] for row in reports[1]["validation"]] == [1.0, 2.0]
    assert 0 < reports[1]["after"] <= 1


def test_contrastive_views(shop: Path, tiny_bert: Path, tmp_path: Path) -> None:
    given = {"model": str(tiny_bert), "objective": "contrastive", "learning_rate": 0.005}
    report = pretrained(shop, tmp_path / "m", epochs=10, evaluate=False, **given)
    assert report["after"] < report["before"] <= report["texts"]["held_out"]
    assert report["cold"] is None


def test_cold_texts_are_not_learned_from(shop: Path, tmp_path: Path) -> None:
    config = options(shop, tmp_path / "m", objective="factors", model="unread")
    catalog = read_catalog(config, shop)
    assert catalog.n_cold == 14
    assert len(catalog.texts) == 56
    everything = read_catalog(options(shop, tmp_path / "m", texts="all"), shop)
    assert len(everything.texts) == 70
    parts = torch.cat(list(catalog.parts.values()))
    assert sorted(parts.tolist()) == list(range(56))
    tastes = catalog.tastes
    assert tastes is not None
    assert tastes.factors.shape == (56, 50)  # no more than there are users
    assert tastes.users.shape == (50, 50)
    assert tastes.hits.shape == (50, 56)
    # Factors tell what users took, on items whose histories the users are known by.
    found = (tastes.users @ tastes.factors.T)[:, catalog.parts["train"]]
    hits = tastes.hits[:, catalog.parts["train"]]
    assert float(found[hits].mean()) > float(found[~hits].mean())


class _Stop(Callback):
    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 2:
            raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_and_ends_as_an_unbroken_one(
    shop: Path, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"model": str(tiny_bert), "epochs": 4, "evaluate": False, "learning_rate": 0.001}
    real = command.run
    with monkeypatch.context() as patch:
        patch.setattr(command, "run", lambda *a, **k: real(*a, **k, callbacks=(_Stop(),)))
        with pytest.raises(KeyboardInterrupt):
            pretrained(shop, tmp_path / "m", **given)
    with pytest.raises(ConfigError, match=r"unfinished work of a run with other epochs"):
        pretrained(shop, tmp_path / "m", **{**given, "epochs": 5})
    pretrained(shop, tmp_path / "m", **given)
    pretrained(shop, tmp_path / "whole", **given)
    one, two = (TextModel(str(tmp_path / name), Path()).digest() for name in ("m", "whole"))
    assert one == two
    with pytest.raises(ConfigError, match=r"holds a finished model.*--fresh"):
        pretrained(shop, tmp_path / "m", **given)
    pretrained(shop, tmp_path / "m", **given, fresh=True)


def test_mistakes_are_named(shop: Path, tiny_bert: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"which texts\? --field is one of title, note"):
        pretrained(shop, tmp_path / "m", field=None)
    with pytest.raises(DataError, match="field 'note' has 1 distinct texts"):
        pretrained(shop, tmp_path / "m", field="note")
    with pytest.raises(ValidationError, match="add --tuning lora"):
        options(shop, tmp_path / "m", model="x", lora_targets=["all"])
    with pytest.raises(ValidationError, match="'all' stands alone"):
        options(shop, tmp_path / "m", model="x", tuning="lora", lora_targets=["all", "query"])
    with pytest.raises(ValidationError, match="cold items have no factors to learn"):
        options(shop, tmp_path / "m", model="x", objective="factors", texts="all")
    assert not (tmp_path / "m").exists()  # nothing was begun
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="is not empty, and not the work of this command"):
        pretrained(shop, tmp_path / "full")
    with pytest.raises(ConfigError, match="clm needs a model of GPT-2's architecture"):
        pretrained(shop, tmp_path / "m", model=str(tiny_bert), objective="clm")


def test_on_the_command_line(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    runner = CliRunner()
    helped = runner.invoke(app, ["pretrain", "--help"])
    assert helped.exit_code == 0, helped.output
    for option in ("--config", "--objective", "mlm|clm|contrastive|factors", "--json", "--fresh"):
        assert option in helped.output
    base = ["pretrain", "--config", str(shop / "shop.yaml"), "--field", "title"]
    wrong = runner.invoke(app, [*base, "--out", str(tmp_path / "m"), "--objective", "mlm"])
    assert wrong.exit_code == 2
    assert "goes on from a model" in wrong.output
    small = ["--layers", "1", "--width", "16", "--heads", "2", "--vocabulary", "300"]
    done = runner.invoke(app, [*base, *small, "--out", str(tmp_path / "m"), "--epochs", "2"])
    assert done.exit_code == 0, done.output
    assert "held-out perplexity" in done.output
    assert "ndcg@20 of cold items" in done.output
    assert "after less tfidf" in done.output
    json_too = [*base, *small, "--out", str(tmp_path / "n"), "--epochs", "1", "--no-evaluate"]
    answer = runner.invoke(app, [*json_too, "--json"])
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["cold"] is None
