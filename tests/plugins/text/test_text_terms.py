"""``tfidf`` and ``bm25`` against scikit-learn and the formula, and what they learn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from rankloom.api import Pipeline
from rankloom.data.fields import FieldSpec
from rankloom.protocols import Build, Features
from rankloom.testing.world import COLD, make_world
from rankloom_plugins.text.bm25 import Bm25Encoder
from rankloom_plugins.text.plugin import Bm25Config, TfidfConfig
from rankloom_plugins.text.tfidf import TfidfEncoder

FIELD = Build(field=FieldSpec("item.title", "text"))


def warm_titles() -> list[str]:
    world = make_world()
    titles = world.items.values("title")
    return [t for row, t in enumerate(titles) if row not in COLD and t is not None]


def tfidf(**settings: Any) -> TfidfEncoder:
    encoder = TfidfEncoder(TfidfConfig(min_count=1, terms=64, **settings), FIELD)
    encoder.prepare(make_world().train)
    return encoder


def vectors(encoder: Any, values: list[Any]) -> torch.Tensor:
    found: Features = encoder.precompute(encoder.collate(values))
    out: torch.Tensor = encoder.forward(found).vectors
    return out


def test_tfidf_equals_scikit_learn() -> None:
    encoder = tfidf()
    texts = ["The Robot and the Robot of the Stars", "Quiet", "Zeppelin"]
    peer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    peer.fit(warm_titles())
    columns = [encoder.terms.names.index(name) for name in peer.get_feature_names_out()]
    found = vectors(encoder, texts)
    np.testing.assert_allclose(found[:, columns], peer.transform(texts).toarray(), atol=1e-6)
    assert not encoder.collate(["Zeppelin"]).present.any()  # a word of cold items alone
    torch.testing.assert_close(found[:2].norm(dim=1), torch.ones(2))


def test_semantic_analysis_is_the_best_low_rank_approximation() -> None:
    texts = warm_titles()
    whole = vectors(tfidf(), texts).double()
    encoder = tfidf(dim=3)
    assert encoder.components is not None
    axes = encoder.components.double()
    torch.testing.assert_close(axes.T @ axes, torch.eye(3).double(), atol=1e-6, rtol=0)
    error = (whole[:, : len(axes)] - whole[:, : len(axes)] @ axes @ axes.T).square().sum()
    sizes = torch.linalg.svdvals(whole)
    torch.testing.assert_close(error, sizes[3:].square().sum(), atol=1e-6, rtol=1e-5)
    wide = tfidf(dim=50)  # more than there are texts: the rest is zero
    assert vectors(wide, texts).shape == (len(texts), 50)


def test_the_vocabulary_keeps_what_is_frequent() -> None:
    encoder = TfidfEncoder(TfidfConfig(min_count=2, terms=2), FIELD)
    encoder.prepare(make_world().train)
    assert list(encoder.terms.names) == ["the", "harbour"]
    pairs = TfidfEncoder(TfidfConfig(min_count=1, terms=64, pairs=True), FIELD)
    pairs.prepare(make_world().train)
    assert "star pilots" in pairs.terms.names


def bm25_by_hand(query: str, text: str, texts: list[list[str]], k1: float, b: float) -> float:
    words = text.lower().split()
    mean = sum(map(len, texts)) / len(texts)
    total = 0.0
    for term in query.lower().split():
        df = sum(term in t for t in texts)
        idf = np.log(1 + (len(texts) - df + 0.5) / (df + 0.5))
        tf = words.count(term)
        total += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * len(words) / mean))
    return float(total)


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.9, 0.4), (1.5, 0.0)])
def test_bm25_is_the_inner_product(k1: float, b: float) -> None:
    items = pl.DataFrame(
        {
            "item": list("abcde"),
            "title": ["star war", "war war love", "a star", "love", "b a c d e"],
        }
    )
    log = pl.DataFrame({"user": ["u", "u", "u", "v", "v", "v"], "item": list("abcdea")[:6]})
    search = {
        "items": {"encoders": {"title": {"type": "bm25", "k1": k1, "b": b}}},
        "queries": {"encoders": {"text": {"type": "reuse", "encoder": "title"}}},
    }
    pipeline = Pipeline.from_config({"model": search, "guards": []})
    pipeline.fit(log, items, progress=False)
    trained = pipeline.split.train
    seen = {int(i) for i in pipeline.dataset.interactions.items[trained]}
    titles = items["title"].to_list()
    ids = list(pipeline.dataset.items.ids.ids)
    texts = [titles["abcde".index(ids[row])].split() for row in sorted(seen)]
    slate = pipeline.recommend(text="war star star", k=5)
    known = {word for text in texts for word in text}
    query = " ".join(word for word in ["war", "star", "star"] if word in known)
    for item, score in zip(slate.items, slate.scores, strict=True):
        title = titles["abcde".index(str(item))]
        own = " ".join(title.split())
        want = bm25_by_hand(query, own, texts, k1, b)
        assert score == pytest.approx(want, abs=1e-5)


def test_state_goes_through_a_bundle(tmp_path: Any) -> None:
    world = make_world()
    for encoder in (tfidf(dim=4), tfidf()):
        again = TfidfEncoder(encoder.config, FIELD)
        again.import_state(encoder.export_state())
        titles = world.items.values("title")
        torch.testing.assert_close(vectors(again, titles), vectors(encoder, titles))
    one = Bm25Encoder(Bm25Config(terms=64), FIELD)
    one.prepare(world.train)
    two = Bm25Encoder(Bm25Config(terms=64), FIELD)
    two.import_state(one.export_state())
    torch.testing.assert_close(vectors(two, ["the robot"]), vectors(one, ["the robot"]))
