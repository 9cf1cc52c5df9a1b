"""Towers mask what is missing and carry tokens where somebody reads them."""

from __future__ import annotations

import torch

from rankloom.pipeline.tower import Tower
from rankloom.protocols import Encoded, Features

from .parts import DIM, Ids, Plain, Sum


def _features(present: list[bool]) -> Features:
    return Plain().collate([2000.0 if there else None for there in present])


def test_component_without_call_runs_by_forward() -> None:
    tower = Tower({"year": Plain()}, None)
    encoded, present = tower.encode({"year": _features([True, False])})
    assert torch.equal(encoded.vectors[0], Plain().forward(_features([True])).vectors[0])
    assert present.tolist() == [True, False]


def test_nothing_present_is_zero_even_if_broken() -> None:
    class Broken(Plain):
        def forward(self, features: Features) -> Encoded:
            vectors = super().forward(features).vectors
            return Encoded(vectors.masked_fill(~features.present[:, None], torch.inf))

    tower = Tower({"year": Broken()}, None)
    encoded, _ = tower.encode({"year": _features([True, False])})
    assert encoded.vectors[1].eq(0).all()
    assert encoded.vectors[0].isfinite().all()


def test_module_hooks_run() -> None:
    ids = Ids(3)
    calls: list[int] = []
    ids.register_forward_hook(lambda *_: calls.append(1))
    Tower({"id": ids}, None).encode({"id": ids.collate([0, 1])})
    assert calls == [1]


def test_tokens_are_carried_only_where_wanted_and_masked_where_missing() -> None:
    ids = Ids(3)
    encoders = {"id": ids, "year": Plain(tokens=3)}
    features = {"id": ids.collate([0, 1]), "year": _features([True, False])}
    without, _ = Tower(encoders, Sum()).encode(features)
    assert without.tokens is None
    carried, present = Tower(encoders, Sum(), tokens=True).encode(features)
    assert carried.tokens is not None
    assert carried.mask is not None
    assert carried.tokens.shape == (2, 3, DIM)
    assert carried.mask.tolist() == [[True, True, False], [False] * 3]
    assert present.all()
    assert torch.equal(carried.vectors, without.vectors)


def test_mask_without_tokens_is_presence() -> None:
    class Dropped(Plain):
        def forward(self, features: Features) -> Encoded:
            vectors = super().forward(features).vectors
            return Encoded(vectors, None, torch.tensor([[False], [True]]))

    encoded, present = Tower({"year": Dropped()}, None, tokens=True).encode(
        {"year": _features([True, True])}
    )
    assert present.tolist() == [False, True]
    assert encoded.vectors[0].eq(0).all()
    assert encoded.mask is None
