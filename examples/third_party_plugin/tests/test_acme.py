"""The package passes Rankloom's conformance checks, and does what it says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rankloom_acme.cosine import Cosine
from rankloom_acme.plugin import CosineConfig, TrigramsConfig
from rankloom_acme.trigrams import Trigrams

from rankloom.protocols import Build, Encoded
from rankloom.testing import conformance_checks, make_world


@conformance_checks(plugin="acme")
def test_conformance(check: Callable[[], None]) -> None:
    check()


def test_a_misspelt_title_is_near_the_right_one() -> None:
    encoder = Trigrams(TrigramsConfig(dim=256), Build())
    texts = ["The Terminator", "The Terminater", "Fried Green Tomatoes"]
    vectors = encoder(encoder.precompute(encoder.collate(texts))).vectors
    near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert near > 0.7 > 0.4 > far


def test_cosine_is_bounded_by_one_over_its_temperature() -> None:
    world = make_world()
    scorer = Cosine(CosineConfig(temperature=0.5), Build())
    queries = world.queries.with_encoded(Encoded(world.item_vectors[:6] * 3))
    values = scorer.score(queries, world.candidates()).values
    assert values.abs().max() <= 2 + 1e-5
    assert values.diagonal().tolist() == pytest.approx([2.0] * 6, abs=1e-5)
