"""Peak memory and time of judging 20,000 users on 20,000 items.

Run it alone; the peak is that of the process::

    python tests/benchmarks/bench_evaluation_memory.py [--users N] [--items N] [--dim D]

Exits with 1 when the peak above the inputs is over the bar.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import torch

from rankloom.evaluation import evaluate_vectors
from rankloom.protocols import RaggedIndices

BAR_MB = 500
PAGE = resource.getpagesize()


def resident_mb() -> float:
    """What the process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20


def peak_mb() -> float:
    """The most the process ever held; what came before the evaluation can only raise it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def inputs(
    users: int, items: int, dim: int
) -> tuple[torch.Tensor, torch.Tensor, RaggedIndices, RaggedIndices]:
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(users, dim, generator=generator)
    table = torch.randn(items, dim, generator=generator)
    targets = torch.randint(items, (users,), generator=generator)
    seen = torch.randint(items, (users * 50,), generator=generator)
    return (
        queries,
        table,
        RaggedIndices(targets, torch.arange(users + 1)),
        RaggedIndices(seen, torch.arange(users + 1) * 50),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=64)
    arguments = parser.parse_args()
    data = inputs(arguments.users, arguments.items, arguments.dim)
    before = resident_mb()
    start, start_cpu = time.perf_counter(), time.process_time()
    result = evaluate_vectors(*data, ks=(10, 20))
    seconds = time.perf_counter() - start
    cpu = time.process_time() - start_cpu
    above = peak_mb() - before
    found = {
        "users": arguments.users,
        "items": arguments.items,
        "dim": arguments.dim,
        "threads": torch.get_num_threads(),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "peak_above_inputs_mb": round(above, 1),
        "bar_mb": BAR_MB,
        "ndcg@10": result.mean("ndcg@10"),
    }
    print(json.dumps(found))
    return int(above > BAR_MB)


if __name__ == "__main__":
    sys.exit(main())
