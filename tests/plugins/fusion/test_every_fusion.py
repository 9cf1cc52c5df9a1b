"""What holds for every fusion: masks, modality dropout and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rankloom.protocols import Build, Encoded
from rankloom_plugins.fusion.attention import AttentionFusion
from rankloom_plugins.fusion.concat import ConcatFusion
from rankloom_plugins.fusion.gated import GatedFusion
from rankloom_plugins.fusion.masking import drop_modalities
from rankloom_plugins.fusion.plugin import AttentionConfig, ConcatConfig, GatedConfig, SumConfig
from rankloom_plugins.fusion.sum import SumFusion

NAMES = ("a", "b", "c")
WIDTH = 6


def fusion_of(kind: str, share: float) -> Any:
    build = Build(dims=dict.fromkeys(NAMES, WIDTH), seed=3)
    if kind == "concat":
        return ConcatFusion(ConcatConfig(dim=WIDTH, modality_dropout=share), build)
    if kind == "gated":
        return GatedFusion(GatedConfig(dim=WIDTH, modality_dropout=share), build)
    if kind == "sum":
        return SumFusion(SumConfig(modality_dropout=share), build)
    over, _, layers = kind.removeprefix("attention ").partition(" ")
    settings = {"over": over, "layers": int(layers), "dim": WIDTH, "heads": 2}
    config = AttentionConfig.model_validate({**settings, "modality_dropout": share})
    return AttentionFusion(config, build)


@pytest.mark.parametrize(
    "kind", ["concat", "gated", "sum", "attention vectors 1", "attention vectors 2",
             "attention tokens 1", "attention tokens 2"]
)  # fmt: skip
def test_dropout_masks_and_gradients(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    n = 60
    vectors = {name: torch.randn(n, WIDTH, generator=generator) for name in NAMES}
    tokens = torch.randn(n, 4, WIDTH, generator=generator)
    real = torch.rand(n, 4, generator=generator) < 0.7
    table = torch.rand(n, 3, generator=generator) < 0.6
    table[:5] = False

    def fused(fusion: Any, shown: Tensor, leaves: dict[str, Tensor], words: Tensor) -> Tensor:
        encoded = {name: Encoded(leaves[name]) for name in NAMES}
        encoded["a"] = Encoded(leaves["a"], words, real)
        found: Encoded = fusion(encoded, {name: shown[:, i] for i, name in enumerate(NAMES)})
        return found.vectors

    # Training with dropout is evaluating with the mask that the same draw leaves.
    training, calm = fusion_of(kind, 0.5).train(), fusion_of(kind, 0.5).eval()
    with torch.no_grad():
        for own, other in zip(training.parameters(), calm.parameters(), strict=True):
            own.add_(torch.randn(own.shape, generator=generator))
            other.copy_(own)
    torch.manual_seed(9)
    kept = drop_modalities(table, 0.5)
    assert (kept != table).any()
    torch.manual_seed(9)
    leaves = {name: v.clone().requires_grad_() for name, v in vectors.items()}
    words = tokens.clone().requires_grad_()
    got = fused(training, table, leaves, words)
    torch.testing.assert_close(got, fused(calm, kept, vectors, tokens))
    assert torch.equal(fused(calm, table, vectors, tokens), fused(calm, table, vectors, tokens))

    # Nothing present is zero; no value of what is masked or dropped gets through.
    assert got[~table.any(1)].eq(0).all()
    for filler in (1e30, float("nan"), float("inf")):
        broken = {
            name: torch.where(kept[:, i, None], vectors[name], filler)
            for i, name in enumerate(NAMES)
        }
        shown = (real & kept[:, :1])[..., None]
        other = fused(calm, kept, broken, torch.where(shown, tokens, filler))
        torch.testing.assert_close(got, other, rtol=0, atol=0)

    # Gradients are finite, none reaches what is hidden, every parameter takes part.
    torch.autograd.backward(got.square().sum())
    for i, name in enumerate(NAMES):
        found = leaves[name].grad
        assert found is not None, name
        assert found.isfinite().all(), name
        assert found[~kept[:, i]].eq(0).all(), name
    if kind.startswith("attention tokens"):
        assert words.grad is not None
        assert words.grad.isfinite().all()
        assert words.grad[~(real & kept[:, :1])].eq(0).all()
    for name, parameter in training.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name

    # Also where a modality is missing everywhere, and where everything is.
    for absent in (torch.tensor([True, False, True]), torch.zeros(3, dtype=torch.bool)):
        training.zero_grad()
        lonely = {name: v.clone().requires_grad_() for name, v in vectors.items()}
        torch.autograd.backward(fused(training, table & absent, lonely, tokens).sum())
        grads = [p.grad for p in training.parameters()]
        assert all(grad is not None and grad.isfinite().all() for grad in grads)
        assert all(v.grad is not None and v.grad.isfinite().all() for v in lonely.values())
