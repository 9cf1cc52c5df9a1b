from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from rankloom.data.cache import EmbeddingCache
from rankloom.data.fields import FieldSpec
from rankloom.errors import ConfigError
from rankloom.nn.encoding import encode_values
from rankloom.nn.weights import weights_digest
from rankloom.protocols import Build, Encoder
from rankloom_plugins.image.clip import ClipImageEncoder, ClipTextEncoder
from rankloom_plugins.image.plugin import ClipImageConfig, ClipTextConfig

TEXTS = ["a red dog", "x", "the very long blue evening dress with no end at all", "red dog"]


def image_encoder(model: Path, **settings: Any) -> ClipImageEncoder:
    config = ClipImageConfig(model=str(model), precision="float32", **settings)
    return ClipImageEncoder(config, Build(field=FieldSpec("item.photo", "image")))


def text_encoder(model: Path, **settings: Any) -> ClipTextEncoder:
    config = ClipTextConfig(model=str(model), precision="float32", **settings)
    return ClipTextEncoder(config, Build(field=FieldSpec("item.title", "text")))


def encode(encoder: Any, values: list[Any]) -> torch.Tensor:
    vectors: torch.Tensor = encoder(encoder.precompute(encoder.collate(values))).vectors
    return vectors


@pytest.fixture(scope="module")
def theirs(tiny_clip: Path) -> tuple[Any, Any]:
    from transformers import CLIPModel, CLIPProcessor

    return CLIPModel.from_pretrained(tiny_clip).eval(), CLIPProcessor.from_pretrained(tiny_clip)


@pytest.fixture(scope="module")
def image_reference(theirs: tuple[Any, Any], pictures: list[Image.Image]) -> torch.Tensor:
    """Every picture alone through transformers' own model and processor."""
    model, processor = theirs
    rows = []
    with torch.no_grad():
        for picture in pictures:
            found = model.get_image_features(**processor(images=picture, return_tensors="pt"))
            rows.append(found.pooler_output[0])
    return torch.stack(rows)


@pytest.fixture(scope="module")
def text_reference(theirs: tuple[Any, Any]) -> torch.Tensor:
    model, processor = theirs
    rows = []
    with torch.no_grad():
        for text in TEXTS:
            tokens = processor(text=text, return_tensors="pt", truncation=True, max_length=16)
            rows.append(model.get_text_features(**tokens).pooler_output[0])
    return torch.stack(rows)


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_pictures_equal_transformers_whatever_the_batch(
    tiny_clip: Path, files: list[bytes], image_reference: torch.Tensor, batch_size: int
) -> None:
    assert image_reference.std(0).mean() > 0.01  # pictures differ
    raw = image_encoder(tiny_clip, normalize=False, batch_size=batch_size)
    torch.testing.assert_close(encode(raw, files), image_reference, atol=1e-5, rtol=1e-5)
    unit = torch.nn.functional.normalize(image_reference, dim=1)
    normal = image_encoder(tiny_clip, batch_size=batch_size)
    torch.testing.assert_close(encode(normal, files), unit, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_texts_equal_transformers_whatever_the_batch(
    tiny_clip: Path, text_reference: torch.Tensor, batch_size: int
) -> None:
    raw = text_encoder(tiny_clip, normalize=False, batch_size=batch_size)
    assert raw.max_length == 16  # no more than the model has positions for
    torch.testing.assert_close(encode(raw, TEXTS), text_reference, atol=1e-5, rtol=1e-5)
    unit = torch.nn.functional.normalize(text_reference, dim=1)
    normal = text_encoder(tiny_clip, batch_size=batch_size)
    torch.testing.assert_close(encode(normal, TEXTS), unit, atol=1e-5, rtol=1e-5)


def test_missing_values_are_masked_and_zero(tiny_clip: Path, files: list[bytes]) -> None:
    pictures, texts = image_encoder(tiny_clip), text_encoder(tiny_clip)
    for encoder, value in ((pictures, files[0]), (texts, "dog")):
        features = encoder.precompute(encoder.collate([None, value, " "]))
        assert features.present.tolist() == [False, True, False]
        vectors = encoder(features).vectors
        assert vectors[[0, 2]].eq(0).all()
        assert vectors[1].norm().item() == pytest.approx(1, abs=1e-5)
        assert encode(encoder, []).shape == (0, 24)
        assert encode(encoder, [None]).eq(0).all()


def test_construction_is_light_and_nothing_frozen_is_state(tiny_clip: Path) -> None:
    for made in (image_encoder(tiny_clip), text_encoder(tiny_clip)):
        assert isinstance(made, Encoder)
        assert made.dim == 24
        assert "_network" not in vars(made)
        assert made.state_dict() == {}
    mapped = image_encoder(tiny_clip, dim=5), text_encoder(tiny_clip, dim=5)
    assert [made.dim for made in mapped] == [5, 5]


def test_one_tower_alone_will_do(
    tiny_clip: Path, tmp_path: Path, files: list[bytes], image_reference: torch.Tensor
) -> None:
    """A vision tower saved by itself; the text encoder says why it cannot use it."""
    from transformers import CLIPVisionModelWithProjection

    whole = image_encoder(tiny_clip).load_network()
    assert isinstance(whole, CLIPVisionModelWithProjection)
    whole.save_pretrained(tmp_path)
    shutil.copy(tiny_clip / "processor_config.json", tmp_path)
    alone = image_encoder(tmp_path, normalize=False)
    torch.testing.assert_close(encode(alone, files), image_reference, atol=1e-5, rtol=1e-5)
    with pytest.raises(ConfigError, match=r"model_type 'clip_vision_model'.*'clip_text_model'"):
        text_encoder(tmp_path)


def test_second_run_encodes_nothing_and_loads_no_network(
    tiny_clip: Path, files: list[bytes], tmp_path: Path
) -> None:
    first, count = encode_values(
        image_encoder(tiny_clip), [*files, files[0]], cache=EmbeddingCache(tmp_path)
    )
    fresh = image_encoder(tiny_clip)
    second, again = encode_values(fresh, [*files, files[0]], cache=EmbeddingCache(tmp_path))
    assert (count, again) == (len(files), 0)
    assert "_network" not in vars(fresh)
    assert torch.equal(first["vector"], second["vector"])


def test_fingerprint_follows_what_vectors_depend_on(tiny_clip: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(tiny_clip, tmp_path / "changed")
    settings = json.loads((changed / "processor_config.json").read_text())
    settings["image_processor"]["image_mean"] = [0.5, 0.5, 0.5]
    (changed / "processor_config.json").write_text(json.dumps(settings))
    made = [image_encoder(tiny_clip), image_encoder(tiny_clip, normalize=False)]
    assert len({one.fingerprint() for one in [*made, image_encoder(changed)]}) == 3
    assert image_encoder(tiny_clip, batch_size=3, dim=7).fingerprint() == made[0].fingerprint()
    texts = [text_encoder(tiny_clip), text_encoder(tiny_clip, max_length=5)]
    assert len({one.fingerprint() for one in texts}) == 2


def test_loading_leaves_the_generator_alone(tiny_clip: Path, files: list[bytes]) -> None:
    before = torch.get_rng_state()
    encode(image_encoder(tiny_clip), files[:1])
    encode(text_encoder(tiny_clip), TEXTS[:1])
    assert torch.equal(before, torch.get_rng_state())


def test_wrong_weights_are_refused(tiny_clip: Path, tmp_path: Path) -> None:
    image_encoder(tiny_clip, sha256=weights_digest(tiny_clip)).load()
    for made in (
        image_encoder(tiny_clip, sha256="0" * 64),
        text_encoder(tiny_clip, sha256="0" * 64),
    ):
        with pytest.raises(ConfigError, match="have sha256"):
            made.load()
    poor = shutil.copytree(tiny_clip, tmp_path / "poor")
    tensors = load_file(poor / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, poor / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=r"lack 1 tensors.*visual_projection"):
        image_encoder(poor).load_network()
    with pytest.raises(ConfigError, match=r"model_type 'bert'.*CLIP's architecture"):
        image_encoder(_config(tmp_path / "bert", {"model_type": "bert"}))


def test_a_processor_of_another_size_is_named(
    tiny_clip: Path, tmp_path: Path, files: list[bytes]
) -> None:
    odd = shutil.copytree(tiny_clip, tmp_path / "odd")
    settings = json.loads((odd / "processor_config.json").read_text())
    settings["image_processor"]["crop_size"] = {"height": 48, "width": 48}
    (odd / "processor_config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=r"yields \[3, 48, 48\].*takes \[3, 32, 32\]"):
        image_encoder(odd).collate(files[:1])


def _config(folder: Path, config: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return folder
