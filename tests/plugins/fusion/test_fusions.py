from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rankloom.config import load_config
from rankloom.errors import ConfigError
from rankloom.protocols import Build, Encoded, Fusion
from rankloom_plugins.fusion.attention import AttentionFusion
from rankloom_plugins.fusion.concat import ConcatFusion
from rankloom_plugins.fusion.gated import GatedFusion
from rankloom_plugins.fusion.masking import drop_modalities
from rankloom_plugins.fusion.plugin import AttentionConfig, ConcatConfig, GatedConfig, SumConfig
from rankloom_plugins.fusion.sum import SumFusion

DIMS = {"title": 5, "items": 3, "number": 1}
KINDS = ["concat", "gated", "attention"]


def build(kind: str, dims: dict[str, int] = DIMS, **config: Any) -> Any:
    made = Build(dims=dims, seed=1)
    if kind == "concat":
        return ConcatFusion(ConcatConfig(dim=4, **config), made)
    if kind == "attention":
        return AttentionFusion(AttentionConfig(dim=4, heads=2, **config), made)
    return GatedFusion(GatedConfig(dim=4, **config), made)


def spread(fusion: nn.Module) -> None:
    """Move every parameter away from its start, so that nothing is equal by accident."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))


def inputs(
    present: list[list[bool]], seed: int = 0
) -> tuple[dict[str, Encoded], dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    table = torch.tensor(present).view(-1, len(DIMS))
    encoded = {
        name: Encoded(torch.randn(len(table), width, generator=generator).requires_grad_())
        for name, width in DIMS.items()
    }
    return encoded, {name: table[:, column] for column, name in enumerate(DIMS)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalize", [True, False])
@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=6),
    filler=st.sampled_from([0.0, 1e30, float("nan"), float("inf")]),
)
def test_masked_values_never_matter(
    kind: str, normalize: bool, rows: list[list[bool]], filler: float
) -> None:
    fusion = build(kind, normalize=normalize).eval()
    spread(fusion)
    encoded, present = inputs(rows)
    other = {
        name: Encoded(torch.where(present[name][:, None], e.vectors, torch.tensor(filler)))
        for name, e in encoded.items()
    }
    got = fusion(encoded, present).vectors
    assert torch.equal(got, fusion(other, present).vectors)
    assert got.isfinite().all()
    nothing = ~torch.tensor(rows).any(1)
    assert got[nothing].eq(0).all()
    got.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in fusion.parameters())
    for name, e in encoded.items():
        assert e.vectors.grad is not None, name
        assert e.vectors.grad[~present[name]].eq(0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [True, False])
def test_gradient_reaches_everything(kind: str, training: bool) -> None:
    fusion = build(kind, modality_dropout=0.1).train(training)
    torch.manual_seed(0)
    spread(fusion)
    encoded, present = inputs([[True] * 3, [True, False, True], [True, True, False]] * 4)
    fusion(encoded, present).vectors.square().sum().backward()
    assert isinstance(fusion, Fusion)
    for name, parameter in fusion.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert all(e.vectors.grad is not None for e in encoded.values())


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_independent(kind: str) -> None:
    fusion = build(kind).eval()
    spread(fusion)
    encoded, present = inputs([[True, False, True], [True, True, True], [False, True, False]])
    whole = fusion(encoded, present).vectors
    for row in range(3):
        alone = fusion(
            {n: Encoded(e.vectors[row : row + 1]) for n, e in encoded.items()},
            {n: p[row : row + 1] for n, p in present.items()},
        )
        torch.testing.assert_close(alone.vectors[0], whole[row])


def test_gate_weights_against_a_softmax_by_hand() -> None:
    fusion = build("gated", normalize=False).eval()
    spread(fusion)
    encoded, present = inputs([[True, False, True]])
    hidden = [
        layers[1](encoded[name].vectors[0])
        for name, layers in zip(DIMS, fusion.projections, strict=True)
    ]
    logits = [h @ fusion.gate[m] + fusion.gate_bias[m] for m, h in enumerate(hidden)]
    share = torch.softmax(torch.stack([logits[0], logits[2]]), 0)
    want = share[0] * hidden[0] + share[1] * hidden[2]
    torch.testing.assert_close(fusion(encoded, present).vectors[0], want)
    weights = fusion.weights(torch.stack(hidden)[None], torch.tensor([[True, False, True]]))
    torch.testing.assert_close(weights.sum(1), torch.ones(1))
    assert weights[0, 1] == 0


def test_gates_start_equal() -> None:
    fusion = build("gated")
    weights = fusion.weights(torch.randn(2, 3, 4), torch.tensor([[True] * 3, [True, True, False]]))
    torch.testing.assert_close(weights, torch.tensor([[1 / 3] * 3, [0.5, 0.5, 0.0]]))


def test_concat_is_a_linear_map_of_zeroed_parts_and_flags() -> None:
    fusion = build("concat", normalize=False).eval()
    encoded, present = inputs([[True, False, True]])
    row = torch.cat(
        [
            encoded["title"].vectors[0],
            torch.zeros(3),
            encoded["number"].vectors[0],
            torch.tensor([1.0, 0.0, 1.0]),
        ]
    )
    want = fusion.project.weight @ row + fusion.project.bias
    torch.testing.assert_close(fusion(encoded, present).vectors[0], want)
    assert ConcatFusion(ConcatConfig(), Build(dims=DIMS)).dim == 9


@pytest.mark.parametrize("kind", KINDS)
def test_single_child(kind: str) -> None:
    fusion = build(kind, {"title": 5}, modality_dropout=0.9).train()
    vectors = torch.randn(50, 5)
    present = torch.arange(50) > 0
    out = fusion({"title": Encoded(vectors)}, {"title": present}).vectors
    assert out[0].eq(0).all()
    assert out[1:].abs().sum(1).gt(0).all()  # the only one is never dropped
    out.square().sum().backward()
    assert all(p.grad is not None for p in fusion.parameters())


def test_dropout_share_and_never_all() -> None:
    torch.manual_seed(0)
    present = torch.ones(4000, 2, dtype=torch.bool)
    present[:1000, 1] = False
    present[:10, 0] = False
    kept = drop_modalities(present, 0.5)
    assert (kept <= present).all()
    assert torch.equal(kept.any(1), present.any(1))
    pairs = kept[1000:]
    # of the four outcomes 'none' becomes 'both': one half keeps both, a quarter each keeps one
    assert abs(float(pairs.all(1).float().mean()) - 0.5) < 0.04
    assert abs(float(pairs[:, 0].float().mean()) - 0.75) < 0.04


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_acts_in_training_alone(kind: str) -> None:
    fusion = build(kind, modality_dropout=0.5)
    spread(fusion)
    encoded, present = inputs([[True] * 3] * 40)
    calm = fusion.eval()(encoded, present).vectors
    assert torch.equal(calm, fusion(encoded, present).vectors)
    assert not torch.allclose(calm, fusion.train()(encoded, present).vectors)


def test_sum_adds_what_is_there() -> None:
    fusion = SumFusion(SumConfig(), Build(dims={"a": 3, "b": 3})).eval()
    a, b = torch.randn(4, 3), torch.randn(4, 3)
    there = torch.tensor([True, True, False, False])
    also = torch.tensor([True, False, True, False])
    fused = fusion({"a": Encoded(a), "b": Encoded(b)}, {"a": there, "b": also}).vectors
    expected = torch.stack([a[0] + b[0], a[1], b[2], torch.zeros(3)])
    torch.testing.assert_close(fused, expected)


def test_sum_of_unequal_widths_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="a: 3, b: 4"):
        SumFusion(SumConfig(), Build(dims={"a": 3, "b": 4}))


def test_unequal_widths_are_found_before_anything_is_built() -> None:
    encoders = {"id": {"type": "embedding", "dim": 8}, "genres": {"type": "multi_hot", "dim": 4}}
    model = {
        "items": {"encoders": encoders, "fusion": "sum"},
        "queries": {"encoders": {"h": "history_bag"}},
    }
    with pytest.raises(ConfigError, match=r"items\.fusion: .*id: 8, genres: 4"):
        load_config({"name": "x", "model": model})


def test_a_masked_infinity_does_not_reach_a_sum() -> None:
    fusion = SumFusion(SumConfig(), Build(dims={"a": 2, "b": 2})).eval()
    broken = torch.full((1, 2), torch.inf)
    shown = {"a": torch.tensor([False]), "b": torch.tensor([True])}
    fused = fusion({"a": Encoded(broken), "b": Encoded(torch.ones(1, 2))}, shown).vectors
    torch.testing.assert_close(fused, torch.ones(1, 2))
