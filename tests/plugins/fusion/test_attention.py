"""Attention against a loop over rows, heads and tokens."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from rankloom import Pipeline
from rankloom.protocols import Build, Encoded
from rankloom_plugins.fusion.attention import AttentionFusion
from rankloom_plugins.fusion.plugin import AttentionConfig


def made(over: str, layers: int = 1) -> AttentionFusion:
    settings = {"over": over, "dim": 6, "heads": 3, "layers": layers}
    config = AttentionConfig.model_validate(settings)
    fusion = AttentionFusion(config, Build(dims={"title": 5, "id": 4}, seed=1)).eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    return fusion


def by_hand(fusion: AttentionFusion, rows: list[tuple[int, Tensor]]) -> Tensor:
    """One row: what is there, as (encoding, value)."""
    there = torch.stack(
        [fusion.maps[m](fusion.norms[m](value)) + fusion.types[m] for m, value in rows]
    )
    found = fusion.query
    for number, layer in enumerate(fusion.layers):
        asked = found if number == 0 else layer.ask(found)
        heads = []
        for head in range(3):
            part = slice(2 * head, 2 * head + 2)
            keys, values = layer.keys(there)[:, part], layer.values(there)[:, part]
            heads.append(torch.softmax(keys @ asked[part] / 2**0.5, 0) @ values)
        answer = layer.out(torch.cat(heads))
        found = answer if number == 0 else found + answer
    return found


@pytest.mark.parametrize("over", ["vectors", "tokens"])
@pytest.mark.parametrize("layers", [1, 3])
@torch.no_grad()
def test_against_a_loop(over: str, layers: int) -> None:
    generator = torch.Generator().manual_seed(0)
    title, ids = torch.randn(5, 5, generator=generator), torch.randn(5, 4, generator=generator)
    tokens = torch.randn(5, 3, 5, generator=generator)
    mask = torch.tensor([[1, 1, 0], [1, 0, 1], [0, 0, 0], [1, 1, 1], [1, 1, 1]]).bool()
    shown = {
        "title": torch.tensor([True, True, True, False, False]),
        "id": torch.tensor([True, False, True, True, False]),
    }
    fusion = made(over, layers)
    got = fusion({"title": Encoded(title, tokens, mask), "id": Encoded(ids)}, shown).vectors
    for row in range(4):
        offered: list[tuple[int, Tensor]] = []
        if shown["title"][row]:
            words = [(0, token) for token in tokens[row][mask[row]]]
            offered += words if over == "tokens" and words else [(0, title[row])]
        if shown["id"][row]:
            offered.append((1, ids[row]))
        torch.testing.assert_close(got[row], by_hand(fusion, offered))
    assert got[4].eq(0).all()


def test_heads_must_share_the_width() -> None:
    with pytest.raises(ValidationError, match="64 is none of 5"):
        AttentionConfig(heads=5)


def test_over_tokens_a_history_trains_on_whole_histories() -> None:
    """One position at a time would show the fusion a vector where it is asked over tokens."""
    import polars as pl

    frame = pl.DataFrame(
        [(f"u{u}", f"i{(3 * u + n) % 12}", n) for u in range(12) for n in range(6)],
        schema=["user", "item", "time"],
        orient="row",
    )
    causal = {}
    for over in ("vectors", "tokens"):
        model = {
            "items": {"encoders": {"id": {"type": "embedding", "dim": 8}}},
            "queries": {
                "encoders": {
                    "history": {"type": "history_mean"},
                    "user.id": {"type": "embedding", "dim": 4},
                },
                "fusion": {"type": "attention", "dim": 8, "heads": 2, "over": over},
            },
            "tasks": ["softmax"],
            "training": {"epochs": 1, "batch_size": 16},
        }
        model["queries"]["encoders"]["user"] = {
            **model["queries"]["encoders"].pop("user.id"),
            "field": "user.id",
        }
        pipeline = Pipeline.from_config({"name": "small", "model": model})
        pipeline.fit(frame, progress=False)
        assert pipeline.parts is not None
        causal[over] = pipeline.parts.models["model"].causal
        assert len(pipeline.recommend("u3", k=3)) == 3
    assert causal == {"vectors": True, "tokens": False}
