"""Bundles: what they hold, where they may go, and every way in which one can be wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from rankloom import Pipeline
from rankloom.errors import BundleError, ConfigError
from rankloom.host import get_host

from .conftest import MODEL

Fit = Callable[..., Pipeline]


@pytest.fixture(scope="module")
def bundle(ease: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ease.save(tmp_path_factory.mktemp("bundle") / "kept")


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def test_it_answers_elsewhere_without_its_source(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = fit(model=MODEL, scorer={"type": "blend", "parts": ["model", "ease"]})
    before = fitted.recommend("u3", request_id="same")
    judged = fitted.evaluate()
    kept = fitted.save(tmp_path / "a" / "bundle")
    shutil.rmtree(fitted.base_dir)
    moved = shutil.move(kept, tmp_path / "b")
    elsewhere = tmp_path / "c"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    loaded = Pipeline.load(moved)
    after = loaded.recommend("u3", request_id="same")
    assert after.items == before.items
    assert after.scores == pytest.approx(before.scores)
    again = loaded.evaluate()
    assert [row.metrics for row in again.rows] == [row.metrics for row in judged.rows]
    assert loaded.base_dir == elsewhere
    assert list(elsewhere.iterdir()) == []


def test_no_path_of_this_machine_goes_in(fit: Fit, tmp_path: Path) -> None:
    fitted = fit(run_dir=tmp_path / "run")
    for path in (tmp_path / "run" / "bundle").iterdir():
        content = path.read_bytes()
        for private in (str(tmp_path), str(fitted.base_dir), str(Path.home())):
            assert private.encode() not in content, path.name


def test_relative_weights_start_at_base_dir(fit: Fit, tmp_path: Path) -> None:
    assert Pipeline.load(fit().save(tmp_path / "x"), base_dir=tmp_path).base_dir == tmp_path


def test_loading_and_saving_again_changes_nothing(bundle: Path, tmp_path: Path) -> None:
    again = Pipeline.load(bundle).save(tmp_path / "again")
    assert json.loads((again / "manifest.json").read_text()) == json.loads(
        (bundle / "manifest.json").read_text()
    )


def test_saving_replaces_whole(ease: Pipeline, copy: Path) -> None:
    (copy / "stray").write_text("x")
    ease.save(copy)
    assert not (copy / "stray").exists()
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]
    Pipeline.load(copy)


def test_added_items_survive(fit: Fit, tmp_path: Path) -> None:
    fitted = fit(model=MODEL)
    fitted.add_items(pl.DataFrame({"id": ["fresh"], "title": ["New"]}))
    loaded = Pipeline.load(fitted.save(tmp_path / "grown"))
    assert loaded.dataset is not None
    assert loaded.dataset.items.ids.index("fresh") == 40
    assert len(loaded.recommend("u3", k=3)) == 3
    assert loaded.recommend(history=["fresh"], k=2).items


def test_no_bundle_at_all(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"manifest.json is missing.*`rankloom fit`"):
        Pipeline.load(tmp_path)
    with pytest.raises(BundleError, match="there is no such folder"):
        Pipeline.load(tmp_path / "nowhere")


def test_another_version(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "format": 9, "rankloom": "7.1"}))
    with pytest.raises(BundleError) as caught:
        Pipeline.load(copy)
    message = str(caught.value)
    assert str(copy) in message
    assert "has format 9 (written by rankloom 7.1); this version reads format 1" in message
    assert "Fit again from its config.yaml, or install that version" in message


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}'])
def test_a_manifest_that_is_none(copy: Path, text: str) -> None:
    (copy / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.json|format"):
        Pipeline.load(copy)


FILES = [
    "config.yaml",
    "items.parquet",
    "users.parquet",
    "interactions.parquet",
    "data.json",
    "state.json",
    "state.safetensors",
]


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match="Copy the bundle again") as caught:
        Pipeline.load(copy)
    assert f"lacks {name}" in str(caught.value)


@pytest.mark.parametrize("name", FILES[1:])
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_file_is_named(copy: Path, name: str, damage: str) -> None:
    content = (copy / name).read_bytes()
    middle = len(content) // 2
    changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    (copy / name).write_bytes(content[:middle] if damage == "cut" else changed)
    with pytest.raises(BundleError, match=f"is damaged: {name}"):
        Pipeline.load(copy)


@pytest.mark.parametrize("name", FILES[1:])
def test_files_that_cannot_be_read_even_without_digests(copy: Path, name: str) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "sha256": {}}))
    (copy / name).write_bytes(b"\x00nonsense")
    with pytest.raises(BundleError, match=f"{name} cannot be read"):
        Pipeline.load(copy)


def test_a_config_that_names_what_is_not_installed(copy: Path) -> None:
    text = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(text.replace("type: ease", "type: eaze"))
    with pytest.raises(ConfigError, match=r"Unknown scorer 'eaze'.*Did you mean 'ease'"):
        Pipeline.load(copy)


def test_weights_of_another_shape(fit: Fit, tmp_path: Path) -> None:
    kept = fit(model=MODEL, scorer="model").save(tmp_path / "small")
    text = (kept / "config.yaml").read_text()
    (kept / "config.yaml").write_text(text.replace("dim: 8", "dim: 16"))
    with pytest.raises(BundleError, match=r"does not fit model 'model'.*size mismatch"):
        Pipeline.load(kept)


def _fitted_with(copy: Path, **plugins: str) -> None:
    path = copy / "manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest["plugins"].keys() == {"rankloom"}  # of all that is installed, what was used
    path.write_text(json.dumps({**manifest, "plugins": {**manifest["plugins"], **plugins}}))


def test_the_plugins_of_the_fit_are_looked_for(copy: Path) -> None:
    _fitted_with(copy, **{"rankloom-zoo": "0.1.0"})
    with pytest.raises(BundleError, match=r"pip install 'rankloom-zoo==0\.1\.0'"):
        Pipeline.load(copy)


def test_another_version_of_a_plugin_is_a_warning(copy: Path) -> None:
    installed = next(i for i in get_host().plugins() if i.distribution not in ("", "rankloom"))
    _fitted_with(copy, **{installed.distribution: "99.0"})
    with pytest.warns(UserWarning, match=r"99\.0.*is installed"):
        Pipeline.load(copy)
