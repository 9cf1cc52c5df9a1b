"""Transformer blocks against torch's own encoder layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rankloom.nn.transformer import TransformerBlock, TransformerStack, last_real


def _copy(block: TransformerBlock, reference: nn.TransformerEncoderLayer) -> None:
    pairs = [
        (reference.self_attn.in_proj_weight, block.qkv.weight),
        (reference.self_attn.in_proj_bias, block.qkv.bias),
        (reference.self_attn.out_proj.weight, block.out.weight),
        (reference.self_attn.out_proj.bias, block.out.bias),
        (reference.linear1.weight, block.up.weight),
        (reference.linear1.bias, block.up.bias),
        (reference.linear2.weight, block.down.weight),
        (reference.linear2.bias, block.down.bias),
    ]
    with torch.no_grad():
        for target, source in pairs:
            assert target is not None
            target.copy_(source)
    reference.norm1.load_state_dict(block.attention_norm.state_dict())
    reference.norm2.load_state_dict(block.feed_norm.state_dict())


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("causal", [True, False])
def test_block_equals_torch_encoder_layer(norm_first: bool, activation: str, causal: bool) -> None:
    torch.manual_seed(0)
    block = TransformerBlock(12, 3, 20, 0.0, norm_first, activation)  # type: ignore[arg-type]
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    reference = nn.TransformerEncoderLayer(
        12, 3, 20, 0.0, activation, batch_first=True, norm_first=norm_first
    )
    _copy(block, reference)
    x = torch.randn(4, 7, 12)
    mask = nn.Transformer.generate_square_subsequent_mask(7) if causal else None
    torch.testing.assert_close(
        block(x, causal=causal), reference(x, src_mask=mask), atol=1e-5, rtol=1e-5
    )


def test_key_mask_hides_padding_without_causality() -> None:
    torch.manual_seed(0)
    stack = TransformerStack(8, 2, 2).eval()
    x = torch.randn(1, 5, 8)
    mask = torch.tensor([[True, True, True, False, False]])
    short = stack(x[:, :3], causal=False)
    torch.testing.assert_close(stack(x, causal=False, mask=mask)[:, :3], short)


def test_heads_must_divide_width() -> None:
    with pytest.raises(ValueError, match="not a multiple of 3"):
        TransformerBlock(8, 3)


def test_last_real_position_and_empty_rows() -> None:
    tokens = torch.arange(12.0).view(2, 3, 2)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert last_real(tokens, mask).tolist() == [[2.0, 3.0], [0.0, 0.0]]
    for row in ([0], [1]):  # a request
        assert torch.equal(last_real(tokens[row], mask[row]), last_real(tokens, mask)[row])


def test_post_norm_stack_has_no_second_norm() -> None:
    stack = TransformerStack(8, 1, norm_first=False)
    assert isinstance(stack.norm, nn.Identity)
