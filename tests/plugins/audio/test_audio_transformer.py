from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rankloom.data.cache import EmbeddingCache
from rankloom.errors import ConfigError
from rankloom.nn.encoding import encode_values
from rankloom.protocols import Build, Encoder
from rankloom_plugins.audio.audio_transformer import AudioTransformerEncoder
from rankloom_plugins.audio.plugin import AudioTransformerConfig

from .audio_models import ast, clap, noise, wav, waves


def build(folder: Path, **settings: Any) -> AudioTransformerEncoder:
    config = AudioTransformerConfig(model=folder.name, precision="float32", **settings)
    return AudioTransformerEncoder(config, Build(base_dir=folder.parent))


def encode(encoder: AudioTransformerEncoder, values: list[Any]) -> torch.Tensor:
    return encoder(encoder.precompute(encoder.collate(values))).vectors


def check_rows_stand_alone(encoder: AudioTransformerEncoder, clips: list[Any]) -> None:
    together = encode(encoder, clips)
    for row, clip in enumerate(clips):
        alone = encode(encoder, [clip])[0]
        torch.testing.assert_close(together[row], alone, atol=1e-5, rtol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-3


LENGTHS = (3000, 9000, 4100, 9000, 40)


@pytest.mark.parametrize("kind", ["Wav2Vec2", "Hubert"])
@pytest.mark.parametrize("norm", ["layer", "group"])
def test_waves_equal_transformers(tmp_path: Path, norm: str, kind: str) -> None:
    network, extractor = waves(tmp_path / "m", norm, kind)
    encoder = build(tmp_path / "m")
    assert isinstance(encoder, Encoder)
    assert encoder.dim == 16
    sounds = [noise(n, seed=n)[:, 0] for n in LENGTHS]
    want = []
    with torch.no_grad():
        for sound in sounds:
            inputs = extractor(sound, sampling_rate=16_000, return_tensors="pt")
            want.append(network(inputs["input_values"]).last_hidden_state[0].mean(0))
    clips = [wav(sound) for sound in sounds]
    found = encode(encoder, clips)
    torch.testing.assert_close(found, torch.stack(want), atol=1e-5, rtol=1e-5)
    check_rows_stand_alone(encoder, clips)


def test_masked_waves_equal_transformers_own_padding(tmp_path: Path) -> None:
    network, extractor = waves(tmp_path / "m", "layer")
    sounds = [noise(n, seed=n)[:, 0] for n in LENGTHS]
    inputs = extractor(sounds, sampling_rate=16_000, padding=True, return_tensors="pt")
    with torch.no_grad():
        frames = network(**inputs).last_hidden_state
    mask = network._get_feature_vector_attention_mask(frames.shape[1], inputs["attention_mask"])
    want = (frames * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    found = encode(build(tmp_path / "m"), [wav(sound) for sound in sounds])
    torch.testing.assert_close(found, want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["WavLM", "UniSpeechSat"])
def test_kin_of_wav2vec(tmp_path: Path, kind: str) -> None:
    waves(tmp_path / "m", "layer", kind)
    check_rows_stand_alone(build(tmp_path / "m"), [wav(noise(n, seed=n)) for n in LENGTHS])


def test_adapters_see_no_padding(tmp_path: Path) -> None:
    waves(tmp_path / "m", "layer", add_adapter=True, output_hidden_size=10, num_adapter_layers=1)
    encoder = build(tmp_path / "m")
    assert encoder.dim == 10
    check_rows_stand_alone(encoder, [wav(noise(n, seed=n)) for n in LENGTHS])


@pytest.mark.parametrize("pooling", ["model", "mean"])
def test_ast_equals_transformers(tmp_path: Path, pooling: str) -> None:
    network, extractor = ast(tmp_path / "m")
    encoder = build(tmp_path / "m", pooling=pooling)
    sounds = [noise(n, seed=n)[:, 0] for n in (3000, 16_000, 9000)]
    inputs = extractor(sounds, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        out = network(**inputs)
    want = out.pooler_output if pooling == "model" else out.last_hidden_state[:, 2:].mean(1)
    clips = [wav(sound) for sound in sounds]
    torch.testing.assert_close(encode(encoder, clips), want, atol=1e-5, rtol=1e-5)
    check_rows_stand_alone(encoder, [*clips, wav(noise(7))])


def test_ast_with_another_extractor(tmp_path: Path) -> None:
    _, extractor = ast(tmp_path / "m")
    extractor.max_length = 1024
    extractor.save_pretrained(tmp_path / "m")
    with pytest.raises(ConfigError, match=r"yields 1024 frames of 32 bands.*takes 64 of 32"):
        build(tmp_path / "m")


@pytest.mark.parametrize("fusion", [False, True])
def test_clap_equals_transformers(tmp_path: Path, fusion: bool) -> None:
    network, extractor = clap(tmp_path / "m", fusion)
    encoder = build(tmp_path / "m")
    assert (encoder.dim, encoder.rate) == (12, 48_000)
    # The long clip comes first: without one the extractor calls a clip drawn at random long.
    sounds = [noise(n, seed=n)[:, 0] for n in (130_000, 20_000, 96_000, 96_100)]
    before = np.random.get_state()[1].tolist()
    clips = [wav(sound, 48_000) for sound in sounds]
    found = encode(encoder, clips)
    assert np.random.get_state()[1].tolist() == before
    np.random.seed(0)
    inputs = extractor(sounds, sampling_rate=48_000, return_tensors="pt")
    with torch.no_grad():
        want = network(inputs["input_features"].float(), inputs["is_longer"]).audio_embeds
    kept = slice(None) if fusion else slice(0, 3)  # the last clip's crop is a second draw
    torch.testing.assert_close(found[kept], want[kept], atol=1e-5, rtol=1e-5)
    check_rows_stand_alone(encoder, clips)


def test_clap_out_of_a_whole_model_and_before_its_projection(tmp_path: Path) -> None:
    network, extractor = clap(tmp_path / "m", fusion=False, whole=True)
    encoder = build(tmp_path / "m", pooling="mean")
    assert encoder.dim == 32
    sound = noise(20_000)[:, 0]
    inputs = extractor([sound], sampling_rate=48_000, return_tensors="pt")
    with torch.no_grad():
        inner = network.audio_model(inputs["input_features"].float()).pooler_output
        want = network.audio_projection(inner)
    clip = [wav(sound, 48_000)]
    torch.testing.assert_close(encode(encoder, clip), inner, atol=1e-5, rtol=1e-5)
    projected = build(tmp_path / "m", normalize=True)
    unit = torch.nn.functional.normalize(want, dim=1)
    torch.testing.assert_close(encode(projected, clip), unit, atol=1e-5, rtol=1e-5)


def test_one_rate_and_one_length(tmp_path: Path) -> None:
    """Other rates and channels are brought to the model's; what lies beyond is not heard."""
    waves(tmp_path / "m", "layer")
    encoder = build(tmp_path / "m", max_seconds=0.25)
    t = np.arange(48_000 // 2) / 48_000
    high, low = np.sin(2 * np.pi * 440 * t), np.sin(2 * np.pi * 440 * t[::3])
    one = wav(np.stack([high, high], 1), 48_000)
    two = wav(low, 16_000)
    assert encoder.collate([one, two])["length"].tolist() == [4000, 4000]
    a, b = encode(encoder, [one, two])
    assert torch.nn.functional.cosine_similarity(a, b, dim=0) > 0.99


def test_missing_and_unreadable(tmp_path: Path) -> None:
    waves(tmp_path / "m", "group")
    encoder = build(tmp_path / "m", dim=6)
    features = encoder.collate([None, b"no sound", wav(noise(2000))])
    assert features.present.tolist() == [False, False, True]
    assert list(features.problems) == [1]
    ready = encoder.precompute(features)
    assert ready["vector"][:2].eq(0).all()
    vectors = encoder(ready).vectors
    assert vectors.shape == (3, 6)
    vectors.sum().backward()
    assert encode(encoder, [None, None]).shape == (2, 6)
    assert encode(encoder, []).shape == (0, 6)


def test_light_until_needed_and_cached(tmp_path: Path) -> None:
    waves(tmp_path / "m", "layer")
    encoder, cache = build(tmp_path / "m"), EmbeddingCache(tmp_path / "cache")
    assert encoder.state_dict() == {}
    clips = [wav(noise(n, seed=n)) for n in (2000, 3000)]
    first, count = encode_values(encoder, [*clips, None, clips[0]], cache=cache)
    assert count == 2
    fresh = build(tmp_path / "m", batch_size=1)
    assert fresh.fingerprint() == encoder.fingerprint()
    second, count = encode_values(fresh, [*clips, None, clips[0]], cache=cache)
    assert count == 0
    assert "_network" not in vars(fresh)
    assert torch.equal(first["vector"], second["vector"])
    others = [build(tmp_path / "m", **x) for x in ({"normalize": True}, {"max_seconds": 5})]
    assert len({made.fingerprint() for made in [encoder, *others]}) == 3


def test_models_that_will_not_do(tmp_path: Path) -> None:
    import transformers as t

    folder = tmp_path / "whisper"
    t.WhisperConfig().save_pretrained(folder)
    t.WhisperFeatureExtractor().save_pretrained(folder)
    with pytest.raises(ConfigError, match="model_type 'whisper', which is none of wav2vec2"):
        build(folder)
    t.BertConfig().save_pretrained(tmp_path / "bert")
    with pytest.raises(ConfigError, match=r"could not be loaded.*preprocessor_config\.json"):
        build(tmp_path / "bert")
    with pytest.raises(ConfigError, match="not a directory"):
        build(tmp_path / "not here")
    waves(tmp_path / "m", "layer")
    with pytest.raises(ConfigError, match="have sha256"):
        build(tmp_path / "m", sha256="0" * 64).load()


def test_weights_of_another_architecture(tmp_path: Path) -> None:
    waves(tmp_path / "m", "layer")
    ast(tmp_path / "other")
    (tmp_path / "m" / "model.safetensors").write_bytes(
        (tmp_path / "other" / "model.safetensors").read_bytes()
    )
    with pytest.raises(ConfigError, match=r"lack \d+ tensors of the network"):
        encode(build(tmp_path / "m"), [wav(noise(2000))])
