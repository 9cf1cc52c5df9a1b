"""The seen guard."""

from __future__ import annotations

import torch

from rankloom.protocols import Build, History, QueryBatch, RaggedIndices, ScoredCandidates, Scores
from rankloom.protocols.batches import CandidateBatch
from rankloom_plugins.guards.plugin import SeenConfig, register_guards
from rankloom_plugins.guards.seen import SeenGuard


def test_excludes_all_interactions_and_penalises_nothing() -> None:
    seen = RaggedIndices.from_lists([[3, 1], []])
    queries = QueryBatch(torch.tensor([0, -1]), History.empty(2), seen, torch.zeros(2).long())
    guard = SeenGuard(SeenConfig(), Build())
    excluded = guard.exclude(queries)
    assert excluded is not None
    assert excluded[0].tolist() == [3, 1]
    assert excluded[1].tolist() == []
    scored = ScoredCandidates(queries, CandidateBatch(torch.arange(4)), Scores(torch.zeros(2, 4)))
    assert guard.penalty(scored, torch.empty(2, 0, dtype=torch.long)) is None
    assert guard.reason == "already seen"


def test_manifest() -> None:
    assert [spec.name for spec in register_guards()] == ["seen"]
