"""Each sketch of docs/design/protocol.md is short, type-checks and does what is said of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankloom.protocols import (
    CandidateBatch,
    Encoded,
    Features,
    QueryBatch,
    Scorer,
    Scores,
)
from rankloom.testing import World
from rankloom.testing.doubles import InnerProduct

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("case_*.py"))
DIM = 8
Sketch = Callable[[str], Any]


def test_there_is_a_sketch_and_a_paragraph_for_every_case(repo_root: Path) -> None:
    page = (repo_root / "docs/design/protocol.md").read_text(encoding="utf-8")
    assert len(CASES) == 16
    for path in CASES:
        assert f"`{path.name}`" in page


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_sketch_is_at_most_25_lines(path: Path) -> None:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 25


def test_sketches_type_check(repo_root: Path) -> None:
    environment = {
        **os.environ,
        "MYPYPATH": f"{repo_root / 'core'}{os.pathsep}{repo_root / 'plugins'}",
    }
    arguments = ["--strict", "--explicit-package-bases", "--follow-imports=silent", str(HERE)]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *arguments],
        cwd=repo_root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("Success"), done.stdout + done.stderr


class TinyBert(nn.Module):
    """What the sketches use of a transformers model: states of every token under a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(256, 6)
        self.mix = nn.Linear(6, 6)

    def forward(self, ids: Tensor, attention_mask: Tensor) -> Any:
        x = self.table(ids) * attention_mask[..., None]
        states = self.mix(x + x.sum(1, keepdim=True))
        return type("Output", (), {"last_hidden_state": states})()


def test_bert_two_tower(world: World, sketch: Sketch) -> None:
    case = sketch("bert_two_tower")
    encoder = case.Bert(TinyBert(), 6, DIM)
    titles = encoder.precompute(encoder.collate(world.items.values("title")))
    assert titles.tensors.keys() == {"pooled"}  # what is cached
    items = encoder(titles)
    text = encoder.collate(["robots in space", None, None, None, None, None])
    queries = case.with_text(world.queries, "seq", encoder, text)
    assert queries.has_text.tolist() == [True] + [False] * 5
    assert not queries.text_vectors["seq"][1:].any()
    asked = queries.with_encoded(Encoded(queries.text_vectors["seq"]))
    scores = InnerProduct().score(asked, CandidateBatch(torch.arange(12), encoded=items))
    assert scores.values.shape == (6, 12)
    torch.autograd.backward(scores.values.sum())
    assert encoder.head.weight.grad is not None
    assert encoder.backbone.mix.weight.grad is None


def test_sasrec_over_fused_vectors(world: World, sketch: Sketch) -> None:
    case, fields = sketch("sasrec_fused"), sketch("user_fields")
    fusion = fields.Fused({"bert": 6, "clip": 5, "id": 4}, DIM)
    parts = {name: Encoded(torch.randn(12, d)) for name, d in (("bert", 6), ("clip", 5), ("id", 4))}
    present = {"bert": torch.ones(12).bool(), "clip": torch.arange(12) % 2 == 0}
    items = fusion(parts, {**present, "id": world.train.universe}).vectors
    encoder = case.Sasrec(DIM)
    features = encoder.collate(world.queries.history.select(torch.arange(5)))
    vectors = items[features["items"].clamp(min=0)] * features["mask"][..., None]
    encoded = encoder(Features({**features.tensors, "vectors": vectors}, features.present))
    changed = vectors.clone()
    changed[:, 2:] += 1
    later = encoder(Features({**features.tensors, "vectors": changed}, features.present))
    assert torch.allclose(encoded.tokens[:, :2], later.tokens[:, :2], atol=1e-6)
    batch = world.batch("sampled")

    def score(candidates: CandidateBatch) -> Scores:
        own = candidates.with_encoded(Encoded(items[candidates.items]))
        return InnerProduct().score(batch.queries.with_encoded(encoded), own)

    loss = case.sampled_softmax(batch, score)
    loss.backward()
    assert all(p.grad is not None for p in [*fusion.parameters(), *encoder.parameters()])


def test_sampled_softmax_is_the_full_one_when_everything_is_drawn(
    world: World, sketch: Sketch
) -> None:
    case, batch = sketch("sasrec_fused"), world.batch("none")
    n = len(world.items)
    everything = CandidateBatch(torch.arange(n), log_q=torch.zeros(n))
    logits = torch.randn(len(batch), n, generator=torch.Generator().manual_seed(0))

    def score(candidates: CandidateBatch) -> Scores:
        return Scores(candidates.gather(logits))

    loss = case.sampled_softmax(batch.with_candidates(everything, None), score)
    assert torch.allclose(loss, nn.functional.cross_entropy(logits, batch.targets))


def test_din_attends_per_candidate(world: World, sketch: Sketch) -> None:
    din: Scorer = sketch("din").Din(DIM, 5)
    scores = din.score(world.queries, world.candidates())
    assert scores.values.shape == (6, 12)
    encoded = world.queries.encoded
    assert encoded is not None
    assert encoded.tokens is not None
    assert encoded.mask is not None
    noise = encoded.tokens.masked_fill(~encoded.mask[..., None], 7.0)
    other = world.queries.with_encoded(replace(encoded, tokens=noise))
    assert torch.allclose(din.score(other, world.candidates()).values, scores.values, atol=1e-5)
    with pytest.raises(LookupError, match="no tokens"):
        din.score(world.queries.with_encoded(Encoded(encoded.vectors)), world.candidates())


def test_cross_encoder_reranks_what_the_cascade_cut(
    world: World, sketch: Sketch, nearest: Any
) -> None:
    case, text = sketch("cross_encoder"), sketch("bert_two_tower").Bert(TinyBert(), 6, DIM)
    cross: Scorer = case.CrossEncoder(TinyBert(), 6)
    titles = text.collate(world.items.values("title"))
    asked = text.collate([f"question {n}" for n in range(6)])
    queries = replace(world.queries, fields={"text": asked})

    def lookup(name: str, items: Tensor) -> Features:
        assert name == "title"
        features: Features = titles.select(items)
        return features

    shared = CandidateBatch(torch.tensor([4, 1, 6]), lookup=lookup)
    own = CandidateBatch(shared.expand(6), lookup=lookup)
    assert torch.allclose(cross.score(queries, shared).values, cross.score(queries, own).values)

    class WithTitles:
        def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
            return cross.score(queries, replace(candidates, lookup=lookup))

    first = nearest
    first.refresh(world.item_vectors, None)
    cascade = case.Cascade(first, WithTitles(), cut=6)
    found = cascade.retrieve(queries, 3, None)
    wide = first.retrieve(queries, 6, None)
    scores = WithTitles().score(queries, wide).values
    assert torch.equal(found.items, wide.items.gather(1, scores.topk(3).indices))


def test_ease_folds_in_and_says_nan(world: World, sketch: Sketch) -> None:
    ease = sketch("ease_fold_in").Ease()
    ease.fit(world.train)
    scorer: Scorer = ease
    values = scorer.score(world.queries, world.candidates()).values
    assert values[5].isnan().all()  # nothing in the history
    assert values[:, 10:].isnan().all()  # outside the universe
    stranger = replace(world.queries.select(torch.tensor([0])), users=torch.tensor([-1]))
    folded = scorer.score(stranger, world.candidates()).values
    assert torch.allclose(folded, values[:1], equal_nan=True)
    assert ease.export_state().tensors["weights"].diagonal()[:10].eq(0).all()


def test_bayesian_fm_gives_ratings_with_their_spread(world: World, sketch: Sketch) -> None:
    machine = sketch("bayesian_fm").BayesianFm()
    genres = torch.randint(0, 2, (12, 3), generator=torch.Generator().manual_seed(0)).float()
    machine.fit(world.train, genres)

    def lookup(name: str, items: Tensor) -> Features:
        return Features({"values": genres[items]}, torch.ones(len(items)).bool())

    scorer: Scorer = machine
    candidates = replace(world.candidates(), lookup=lookup)
    scores = scorer.score(world.queries, candidates)
    assert scores.scale == "rating"
    assert scores.std is not None
    assert scores.sample is not None
    log = world.train.interactions
    errors = scores.values[log.users, log.items] - log.values
    assert errors.square().mean() < (log.values - 3).square().mean() * 0.6
    # a user without a rating is less certain than one with five
    assert scores.std[5].mean() > scores.std[2].mean()
    draws = [scores.sample(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


class Column:
    """A scorer that knows fixed scores."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        return Scores(candidates.gather(self.values.expand(len(queries), -1)))


def test_blend_calibrates_and_renormalises(world: World, sketch: Sketch) -> None:
    good = torch.full((6, 12), -1.0)
    block = next(iter(world.validation()))
    good[block.targets.row_ids(), block.targets.values] = 3.0
    partial = torch.randn(1, 12, generator=torch.Generator().manual_seed(0)).expand(6, -1).clone()
    partial[:, 7:] = torch.nan
    blend = sketch("blend").Blend([Column(good), Column(partial)])
    scorer: Scorer = blend
    blend.calibrate(world.validation())
    assert blend.weights[0] > blend.weights[1]
    values = scorer.score(world.queries, world.candidates()).values
    assert values.isfinite().all()  # where one part is NaN the other answers
    alone = blend.stacked(world.queries, world.candidates())[0]
    assert torch.allclose(values[:, 7:], alone[:, 7:])
