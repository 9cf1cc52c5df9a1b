"""SASRec and the history mean."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rankloom.errors import ConfigError
from rankloom.protocols import Build, Encoded, Features, History, RaggedIndices
from rankloom_plugins.sequence.history_mean import HistoryMeanEncoder
from rankloom_plugins.sequence.plugin import (
    HistoryMeanConfig,
    SASRecConfig,
    register_encoders,
)
from rankloom_plugins.sequence.sasrec import SASRecEncoder

BUILD = Build(dims={"items": 8}, seed=3)
TABLE = torch.randn(30, 8, generator=torch.Generator().manual_seed(1))


def _history(rows: list[list[int]], values: list[float] | None = None) -> History:
    items = RaggedIndices.from_lists(rows)
    total = len(items.values)
    return History(
        items,
        torch.tensor(values) if values else torch.ones(total),
        torch.arange(total),
        torch.arange(total),
    )


def _features(encoder: SASRecEncoder | HistoryMeanEncoder, history: History) -> Features:
    """Collate, then add vectors as core does: zero where there is no item."""
    features = encoder.collate(history)
    items = features["items"]
    vectors = TABLE[items.clamp(min=0)] * (items >= 0)[..., None]
    return replace(features, tensors={**features.tensors, "vectors": vectors})


def _sasrec(**settings: object) -> SASRecEncoder:
    torch.manual_seed(0)
    return SASRecEncoder(SASRecConfig.model_validate(settings), BUILD).eval()


def _tokens(encoded: Encoded) -> Tensor:
    assert encoded.tokens is not None
    return encoded.tokens


def test_collate_crops_to_the_latest_events_and_pads_right() -> None:
    features = _sasrec(max_length=3).collate(_history([[1, 2, 3, 4, 5], [6], []]))
    assert features["items"].tolist() == [[3, 4, 5], [6, -1, -1], [-1, -1, -1]]
    assert features["at"].tolist() == [[2, 3, 4], [5, 0, 0], [0, 0, 0]]
    assert features["mask"].sum(1).tolist() == [3, 1, 0]
    assert features.present.tolist() == [True, True, False]
    assert features["times"].tolist() == [[2, 3, 4], [5, 0, 0], [0, 0, 0]]
    assert features["values"].isnan().tolist() == (~features["mask"]).tolist()


def test_collate_of_nothing_but_empty_histories() -> None:
    encoder = _sasrec()
    features = _features(encoder, History.empty(2))
    assert features["items"].tolist() == [[-1], [-1]]
    encoded = encoder(features)
    assert encoded.vectors.tolist() == [[0.0] * 8] * 2


def test_later_events_do_not_change_earlier_tokens() -> None:
    encoder = _sasrec(heads=2)
    first = _tokens(encoder(_features(encoder, _history([[1, 2, 3, 4, 5]]))))
    other = _tokens(encoder(_features(encoder, _history([[1, 2, 3, 9, 8]]))))
    torch.testing.assert_close(first[:, :3], other[:, :3])
    assert not torch.allclose(first[:, 3:], other[:, 3:])


def test_earlier_events_do_change_later_tokens() -> None:
    encoder = _sasrec()
    first = encoder(_features(encoder, _history([[1, 2, 3]])))
    other = encoder(_features(encoder, _history([[7, 2, 3]])))
    assert not torch.allclose(first.vectors, other.vectors)


@pytest.mark.parametrize("norm_first", [True, False])
def test_padding_and_batch_neighbours_change_nothing(norm_first: bool) -> None:
    encoder = _sasrec(norm_first=norm_first)
    rows = [[1, 2], [3, 4, 5, 6, 7, 8], [], [9]]
    together = encoder(_features(encoder, _history(rows)))
    for index, row in enumerate(rows):
        alone = encoder(_features(encoder, _history([row])))
        torch.testing.assert_close(together.vectors[index], alone.vectors[0])
    assert together.vectors[2].abs().sum() == 0


def test_vectors_are_the_last_real_tokens() -> None:
    encoder = _sasrec(max_length=4)
    encoded = encoder(_features(encoder, _history([[1, 2, 3, 4, 5, 6], [7, 8]])))
    torch.testing.assert_close(encoded.vectors[0], _tokens(encoded)[0, 3])
    torch.testing.assert_close(encoded.vectors[1], _tokens(encoded)[1, 1])
    assert encoded.mask is not None
    assert encoded.mask.tolist() == [[True] * 4, [True, True, False, False]]


def test_order_matters_through_positions() -> None:
    encoder = _sasrec(blocks=1)
    a = encoder(_features(encoder, _history([[1, 2, 3]])))
    b = encoder(_features(encoder, _history([[2, 1, 3]])))
    assert not torch.allclose(a.vectors, b.vectors)


def test_gradients_reach_everything_used_and_stay_finite() -> None:
    encoder = _sasrec().train()
    features = _features(encoder, _history([[1, 2, 3], []]))
    encoded = encoder(features)
    (encoded.vectors.sum() + _tokens(encoded)[features["mask"]].square().sum()).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_heads_that_do_not_divide_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match="heads = 3"):
        SASRecEncoder(SASRecConfig(heads=3), BUILD)


def test_history_mean_is_the_masked_mean() -> None:
    encoder = HistoryMeanEncoder(HistoryMeanConfig(max_length=3), BUILD)
    encoded = encoder(_features(encoder, _history([[1, 2, 3, 4], [5], []])))
    torch.testing.assert_close(encoded.vectors[0], TABLE[[2, 3, 4]].mean(0))
    torch.testing.assert_close(encoded.vectors[1], TABLE[5])
    assert encoded.vectors[2].abs().sum() == 0


@pytest.mark.parametrize("weight_by_value", [False, True])
def test_history_mean_after_every_event_is_that_of_the_history_so_far(
    weight_by_value: bool,
) -> None:
    encoder = HistoryMeanEncoder(HistoryMeanConfig(weight_by_value=weight_by_value), BUILD)
    items, values = [1, 2, 3, 4], [5.0, float("nan"), 1.0, 2.0]
    whole = _tokens(encoder(_features(encoder, _history([items], values))))[0]
    for n in range(1, 5):
        alone = encoder(_features(encoder, _history([items[:n]], values[:n]))).vectors[0]
        torch.testing.assert_close(whole[n - 1], alone)


def test_history_mean_weighs_by_centred_values() -> None:
    encoder = HistoryMeanEncoder(HistoryMeanConfig(weight_by_value=True), BUILD)
    history = _history([[1, 2, 3, 4]], [5.0, 3.0, 1.0, float("nan")])
    encoded = encoder(_features(encoder, history))
    torch.testing.assert_close(encoded.vectors[0], (2 * TABLE[1] - 2 * TABLE[3]) / 4)


def test_history_mean_projection_starts_near_the_mean_and_keeps_empty_zero() -> None:
    encoder = HistoryMeanEncoder(HistoryMeanConfig(project=True), BUILD)
    with torch.no_grad():
        encoder.project.bias.fill_(0.5)  # type: ignore[operator]
    encoded = encoder(_features(encoder, _history([[1, 2], []])))
    torch.testing.assert_close(encoded.vectors[0], TABLE[[1, 2]].mean(0) + 0.5, atol=0.3, rtol=0.0)
    assert encoded.vectors[1].abs().sum() == 0


def test_manifest_says_what_validation_needs() -> None:
    specs = {spec.name: spec for spec in register_encoders()}
    causal = {name: spec.causal for name, spec in specs.items()}
    assert causal == {"sasrec": True, "history_mean": True, "history_bag": False}
    assert {spec.side for spec in specs.values()} == {"history"}
