"""Rows of the item table only append; a refresh recomputes; versions count both."""

from __future__ import annotations

import polars as pl
import pytest
import torch

from rankloom.data.tables import Table
from rankloom.pipeline.scorer_fields import ScorerFields
from rankloom.protocols import CandidateBatch
from rankloom.testing import World, make_world

from .parts import DIM, Plain, make


@pytest.fixture
def world() -> World:
    return make_world()


def _grown(world: World) -> Table:
    return world.items.extended(["new", "newer"], pl.DataFrame({"year": [1999.0, None]}))


@pytest.mark.parametrize("tokens", [False, True])
def test_appended_rows_are_those_of_a_whole_refresh(world: World, tokens: bool) -> None:
    _, table = make(12, tokens=tokens)
    assert table.load(world.items, None) == 0
    table.refresh()
    before, version = table.vectors.clone(), table.version
    grown = _grown(world)
    table.append(grown, [12, 13], None)
    assert table.version == version + 1
    assert len(table) == 14
    assert torch.equal(table.vectors[:12], before)
    assert table.present.tolist() == [True] * 13 + [False]  # the last one has no year, and no id
    _, whole = make(12, tokens=tokens)
    whole.load(grown, None)
    whole.refresh()
    assert torch.allclose(whole.vectors, table.vectors)
    both = [t.encodings(CandidateBatch(torch.tensor([13, 0, 12])))[0] for t in (whole, table)]
    if tokens:
        assert both[0].tokens is not None
        assert both[1].tokens is not None
        assert torch.allclose(both[0].tokens, both[1].tokens)
    else:
        assert both[0].tokens is None


def test_refresh_follows_the_weights_and_counts(world: World) -> None:
    model, table = make(12)
    table.load(world.items, None)
    table.refresh()
    before = table.vectors.clone()
    with torch.no_grad():
        model.items.encoders["id"].table.weight += 1
    assert torch.equal(table.vectors, before)  # a snapshot until it is refreshed
    version = table.version
    table.refresh()
    assert table.version == version + 1
    assert not torch.equal(table.vectors, before)
    assert not table.vectors.requires_grad


def test_encodings_of_any_candidates(world: World) -> None:
    _, table = make(12)
    table.load(world.items, None)
    table.refresh()
    everything, present = table.encodings(CandidateBatch(torch.arange(12)))
    assert everything.vectors is table.vectors
    assert present.all()
    turned = torch.arange(11, -1, -1)  # as wide as the catalog, but in another order
    assert torch.equal(table.encodings(CandidateBatch(turned))[0].vectors, table.vectors[turned])
    own = torch.tensor([[0, -1], [99, 3]])
    encoded, known = table.encodings(CandidateBatch(own))
    assert known.tolist() == [[True, False], [False, True]]
    assert encoded.vectors.shape == (2, 2, DIM)


def test_pseudo_item_knows_one_field(world: World) -> None:
    _, table = make(12)
    table.load(world.items, None)
    vectors = table.pseudo_item("year", "2005")
    assert vectors is not None
    assert torch.allclose(vectors, Plain().forward(Plain().collate([2005.0])).vectors)
    assert table.pseudo_item("title", "no encoder reads it") is None


def test_raw_fields_of_a_scorer_grow_with_the_catalog(world: World) -> None:
    fields = ScorerFields("m.scorer.model", {"when": Plain()}, {"when": "item.year"})
    _, table = make(12, fields=fields)
    table.load(world.items, None)
    table.refresh()
    assert fields.lookup("when", torch.tensor([12])).present.tolist() == [False]
    table.append(_grown(world), [12, 13], None)
    found = fields.lookup("when", torch.tensor([12, 13, -1, 0]))
    assert found.present.tolist() == [True, False, False, True]
    assert found["x"][:, 0].tolist() == [1999.0, 0.0, 0.0, 1990.0]
    with pytest.raises(LookupError, match=r"no item encoder 'wen'.*it has: when"):
        fields.lookup("wen", torch.tensor([0]))
