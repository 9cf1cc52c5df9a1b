"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]

os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets that may not be passed on."""
    path = Path(os.environ.get("RANKLOOM_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.fail(
            f"The shared data sets are not at {path}. Put them there or set RANKLOOM_SHARED_DATA."
        )
    return path


@pytest.fixture(scope="session")
def ml_small() -> Path:
    """The MovieLens data that ships with the examples."""
    return ROOT / "examples" / "data" / "ml-latest-small"


@pytest.fixture
def small_checkout(
    tmp_path: Path, ml_small: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], Path]:
    """Go to the folder a reader would be in, with 60 users and one epoch.

    Its argument: films of fewer ratings are left out (each text costs a run of the language model).
    """

    def made(at_least: int = 1) -> Path:
        data = tmp_path / "examples" / "data" / "ml-latest-small"
        data.mkdir(parents=True)
        log = _cut(ml_small / "ratings.csv", 0, {str(user) for user in range(1, 61)})
        counts = Counter(row.split(",")[1] for row in log[1:])
        films = {film for film, n in counts.items() if n >= at_least}
        log = [log[0], *(row for row in log[1:] if row.split(",")[1] in films)]
        movies = _cut(ml_small / "movies.csv", 0, films)
        for name, rows in (("ratings.csv", log), ("movies.csv", movies)):
            (data / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
        for example in (ROOT / "examples").glob("*.yaml"):
            config = yaml.safe_load(example.read_text(encoding="utf-8"))
            for model in [*config.get("models", {}).values(), config.get("model")]:
                if model and "training" in model:  # zero-shot models have none
                    model["training"]["epochs"] = 1
            path = tmp_path / "examples" / example.name
            path.write_text(yaml.safe_dump(config), encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return made


def _cut(path: Path, column: int, kept: set[str]) -> list[str]:
    """The header and the rows with one of ``kept`` in ``column``."""
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    return [header, *(row for row in rows if row.split(",")[column] in kept)]


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-2 with a byte-level tokeniser trained on a few titles; no padding token."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2Model, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "gpt2"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["star war", "love star", "Sleepless in Seattle"], trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|endoftext|>", bos_token="<|endoftext|>"
    ).save_pretrained(folder)
    torch.manual_seed(1)
    config = GPT2Config(vocab_size=300, n_positions=16, n_embd=16, n_layer=3, n_head=2)
    GPT2Model(config).save_pretrained(folder)
    return folder
