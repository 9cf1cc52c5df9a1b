"""Co-occurrence against counts by hand."""

from __future__ import annotations

import polars as pl
import pytest
import torch

from rankloom import Pipeline
from rankloom.errors import ConfigError
from rankloom.protocols import CandidateBatch, QueryBatch, RaggedIndices
from rankloom.protocols.history import History

TAKEN = {0: {0, 1, 2}, 1: {0, 1}, 2: {1, 3}, 3: {0, 3, 4}}


def fitted(**settings: float) -> Pipeline:
    rows = [(f"u{u}", f"i{i}", 10 * u + i) for u, items in TAKEN.items() for i in sorted(items)]
    rows += [(f"u{u}", f"i{i}", 1000 + i) for u in range(4, 8) for i in range(5, 8)]
    frame = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    config = {
        "name": "counts",
        "data": {"split": {"type": "fold_in", "support": 2, "fraction": 0.2}},
        "scorer": {"type": "cooccurrence", **settings},
    }
    return Pipeline.from_config(config).fit(frame, progress=False)


@pytest.mark.parametrize("prior", [0.0, 1.0, 2.5])
def test_against_counts_by_hand(prior: float) -> None:
    pipeline = fitted(prior=prior)
    assert pipeline.dataset is not None
    assert pipeline.split is not None
    assert pipeline.split.refit is not None
    assert pipeline.parts is not None
    log = pipeline.dataset.interactions.select(pipeline.split.refit)
    taken: dict[int, set[int]] = {}
    for user, item in zip(log.users.tolist(), log.items.tolist(), strict=True):
        taken.setdefault(user, set()).add(item)
    histories = [[0], [0, 1, 1], [], [3, 6]]
    events = RaggedIndices.from_lists(histories)
    n = len(events.values)
    history = History(events, torch.ones(n), torch.zeros(n).long(), torch.arange(n))
    queries = QueryBatch(torch.full((4,), -1), history, events, torch.zeros(4).long())
    items = torch.arange(8)
    got = pipeline.parts.scorer.score(queries, CandidateBatch(items, whole=True)).values
    each = pipeline.parts.scorer.score(queries, CandidateBatch(items.expand(4, -1))).values
    torch.testing.assert_close(got, each, equal_nan=True)
    for row, known in enumerate(histories):
        for item in range(8):
            count = sum(item in own for own in taken.values())
            both = sum(
                1 for k in set(known) if k != item for own in taken.values() if {k, item} <= own
            )
            if known and count:
                assert float(got[row, item]) == pytest.approx(both + prior * count)
            else:
                assert got[row, item].isnan()


def test_too_many_items() -> None:
    with pytest.raises(ConfigError, match="more than max_items = 3"):
        fitted(max_items=3)
