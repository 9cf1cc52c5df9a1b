from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError

from rankloom import Pipeline
from rankloom.errors import ConfigError, DataError, MissingExtraError
from rankloom.protocols import Build, Encoder
from rankloom.registry import default_registry
from rankloom_plugins.audio.log_mel import LogMelEncoder
from rankloom_plugins.audio.mel import LogMel, deltas, mel_filters, segment_statistics
from rankloom_plugins.audio.plugin import LogMelConfig

from .audio_models import noise, wav


def build(**settings: Any) -> LogMelEncoder:
    return LogMelEncoder(LogMelConfig(**settings), Build())


def encode(encoder: LogMelEncoder, values: list[Any]) -> torch.Tensor:
    return encoder.precompute(encoder.collate(values))["vector"]


@pytest.mark.parametrize(("n_mels", "n_fft", "rate"), [(64, 512, 16_000), (40, 1024, 22_050)])
def test_filters_equal_transformers(n_mels: int, n_fft: int, rate: int) -> None:
    from transformers.audio_utils import mel_filter_bank

    want = mel_filter_bank(
        n_fft // 2 + 1, n_mels, 0.0, rate / 2, rate, norm="slaney", mel_scale="slaney"
    )
    np.testing.assert_allclose(mel_filters(n_mels, n_fft, rate), want, atol=1e-6)


@pytest.mark.parametrize(("window", "hop"), [(400, 160), (512, 256), (401, 100)])
def test_spectrogram_equals_transformers(window: int, hop: int) -> None:
    from transformers.audio_utils import mel_filter_bank, spectrogram

    mel = LogMel(32, 16_000, window, hop)
    n_fft = mel.n_fft
    bank = mel_filter_bank(n_fft // 2 + 1, 32, 0.0, 8000, 16_000, "slaney", "slaney")
    samples = noise(4000)[:, 0]
    want = spectrogram(
        samples.astype(np.float64),
        np.hanning(window + 1)[:-1],
        window,
        hop,
        fft_length=n_fft,
        center=False,
        power=2.0,
        mel_filters=bank,
        mel_floor=1e-10,
        log_mel="log",
    ).T
    found = mel(torch.from_numpy(samples)[None])[0]
    assert int(mel.frames(torch.tensor(4000))) == len(want)
    np.testing.assert_allclose(found[: len(want)], want, atol=2e-4)


def test_statistics_against_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    counts = torch.tensor([11, 3, 1])
    frames = torch.randn(3, 11, 5, generator=generator)
    found = segment_statistics(frames, counts, 4)
    slopes = deltas(frames, counts)
    for row, n in enumerate(counts.tolist()):
        real = frames[row, :n]
        for part in range(4):
            start = part * n // 4
            piece = real[start : max(start + 1, (part + 1) * n // 4)]
            want = torch.cat([piece.mean(0), piece.std(0, correction=0)])
            torch.testing.assert_close(found[row, part], want)
        for at in range(n):
            near = [real[min(max(at + step, 0), n - 1)] for step in (-2, -1, 1, 2)]
            want = (near[2] - near[1] + 2 * (near[3] - near[0])) / 10
            torch.testing.assert_close(slopes[row, at], want)


@pytest.mark.parametrize("normalize", [True, False])
def test_rows_stand_alone_whatever_their_length(normalize: bool) -> None:
    encoder = build(normalize=normalize)
    assert isinstance(encoder, Encoder)
    assert encoder.dim == 4 * 4 * 64
    clips = [wav(noise(n, seed=n)) for n in (16_000, 700, 9000, 100, 1, 30_000)]
    together = encode(encoder, clips)
    assert together.isfinite().all()
    apart = torch.cat([encode(encoder, [clip]) for clip in clips])
    torch.testing.assert_close(together, apart, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(encode(build(normalize=normalize, batch_size=2), clips), together,
                               atol=1e-4, rtol=1e-4)  # fmt: skip


def test_loudness_makes_no_difference_where_normalized() -> None:
    samples = noise(16_000)
    loud, quiet = wav(samples), wav(samples / 50)
    a, b = encode(build(), [loud, quiet])
    torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)
    raw = encode(build(normalize=False), [loud, quiet])
    assert (raw[0] - raw[1])[:64].mean() == pytest.approx(2 * np.log(50), abs=0.05)
    assert encode(build(), [wav(np.zeros((8000, 1), np.float32))]).eq(0).all()


def test_time_and_pitch_are_told_apart() -> None:
    t = np.arange(16_000) / 16_000
    rising = np.sin(2 * np.pi * (200 * t + 1500 * t * t))
    a, b, c = encode(build(), [wav(rising), wav(rising[::-1].copy()), wav(rising * 0.9)])
    assert (a - c).norm() < 0.05 * (a - b).norm()


def test_fingerprint_follows_settings() -> None:
    same = {build(batch_size=3).fingerprint(), build(dim=5).fingerprint(), build().fingerprint()}
    assert len(same) == 1
    others = [{"n_mels": 32}, {"hop_ms": 5}, {"segments": 2}, {"rate": 8000}, {"normalize": False},
              {"max_seconds": 3}, {"window_ms": 32}]  # fmt: skip
    assert len({build(**x).fingerprint() for x in others} | same) == 1 + len(others)


def test_wrong_settings() -> None:
    with pytest.raises(ConfigError, match=r"mel bands are narrower.*Lower 'n_mels'"):
        build(n_mels=400)
    with pytest.raises(ValidationError, match="must not exceed 'window_ms'"):
        LogMelConfig(window_ms=10, hop_ms=20)


@pytest.mark.parametrize("package", ["soundfile", "soxr"])
def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    registry = default_registry()
    monkeypatch.setitem(sys.modules, package, None)
    for name in ("log_mel", "audio_transformer"):
        spec = registry.get("encoder", name)
        for module in ("rankloom.nn.audio", spec.target.partition(":")[0]):
            monkeypatch.delitem(sys.modules, module, raising=False)
        with pytest.raises(MissingExtraError, match=rf"'{package}'.*'rankloom\[audio\]'"):
            registry.implementation(spec)


def config(folder: Path, **settings: Any) -> dict[str, Any]:
    sound = {"type": "log_mel", "root": str(folder), "n_mels": 8, **settings}
    return {
        "name": "sounds",
        "data": {"source": {"type": "tables", "item_fields": {"sound": "audio"}}},
        "model": {
            "items": {"encoders": {"sound": sound}, "fusion": {"type": "concat", "dim": 8}},
            "queries": {"encoders": {"history": "history_mean"}},
            "tasks": ["softmax"],
            "training": {"epochs": 1},
        },
    }


def test_bad_files_in_a_pipeline(tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    folder.mkdir()
    for n in range(6):
        (folder / f"{n}.wav").write_bytes(wav(noise(3000 + 500 * n, seed=n)))
    (folder / "2.wav").write_bytes(b"no sound at all")
    paths = [f"{n}.wav" for n in range(6)]
    paths[4] = "../../secret.wav"
    items = pl.DataFrame({"id": list("abcdef"), "sound": paths})
    rows = [(f"u{user}", "abcdef"[(user + k) % 6], k) for user in range(8) for k in range(4)]
    log = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")

    def fit(**settings: Any) -> Pipeline:
        pipeline = Pipeline.from_config(config(folder, **settings), base_dir=tmp_path)
        return pipeline.fit(interactions=log, items=items, progress=False)

    with pytest.raises(DataError, match=r"2 of 6 values of 'item\.sound' cannot be read: item 'c'"):
        fit()
    pipeline = fit(on_bad_item="skip")
    skipped = {one.id: one.reason for one in pipeline.log.skipped}
    assert set(skipped) == {"c", "e"}
    assert "no sound that can be read" in skipped["c"]
    assert "leads out of the media root" in skipped["e"]
    assert pipeline.recommend("u0").items == ["f"]  # seen: a to d; e has nothing to be known by
