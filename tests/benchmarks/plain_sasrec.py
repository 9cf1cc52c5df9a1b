"""SASRec in a hand-written torch loop: the yardstick for the framework's speed and accuracy.

It knows nothing of Rankloom. Run it on ML-100K, leave-last-out, all ratings positive::

    python tests/benchmarks/plain_sasrec.py /path/to/movielens-100k/u.data --dim 64 --epochs 100

Ties in time keep the order of the file. The model is fitted on everything but each user's last two
events; validation ranks the second to last, test the last (its history then holds the validation
event). All items with a training event that the user has not seen are ranked.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Settings:
    """Everything that can be turned from the command line."""

    max_length: int = 50
    dim: int = 64
    blocks: int = 2
    heads: int = 1
    dropout: float = 0.2
    feedforward: int = 1
    activation: str = "relu"
    norm_first: int = 1
    init_std: float = 0.02
    input_scale: int = 0
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    beta2: float = 0.999
    batch_size: int = 128
    epochs: int = 100
    every: int = 5
    patience: int = 0
    windows: int = 0
    seed: int = 0


@dataclass(frozen=True)
class LeaveLastOut:
    """Sequences of contiguous item indices, oldest first, with their last two events held out."""

    sequences: list[Tensor]
    n_items: int
    universe: Tensor

    def crop(self, drop: int, length: int) -> tuple[Tensor, Tensor]:
        """Last ``length`` events before the last ``drop``: ``[users, t]`` right-padded, mask."""
        kept = [s[: len(s) - drop][-length:] for s in self.sequences]
        padded = nn.utils.rnn.pad_sequence(kept, batch_first=True, padding_value=-1)
        return padded.clamp(min=0), padded >= 0

    def windows(self, drop: int, length: int) -> tuple[Tensor, Tensor]:
        """All events before the last ``drop`` in windows of ``length`` targets, as :meth:`crop`."""
        kept = []
        for sequence in self.sequences:
            past = sequence[: len(sequence) - drop]
            for stop in range(len(past), 1, -length):
                kept.append(past[max(stop - length - 1, 0) : stop])
        padded = nn.utils.rnn.pad_sequence(kept, batch_first=True, padding_value=-1)
        return padded.clamp(min=0), padded >= 0


def load(path: Path) -> LeaveLastOut:
    """Read ``u.data`` (user, item, rating, time; tabs)."""
    raw = np.loadtxt(path, dtype=np.int64)
    _, users = np.unique(raw[:, 0], return_inverse=True)
    _, items = np.unique(raw[:, 1], return_inverse=True)
    order = np.lexsort((np.arange(len(raw)), raw[:, 3], users))
    counts = np.bincount(users)
    sequences = list(torch.split(torch.from_numpy(items[order]), counts.tolist()))
    n_items = int(items.max()) + 1
    universe = torch.zeros(n_items, dtype=torch.bool)
    universe[torch.cat([s[:-2] for s in sequences])] = True
    return LeaveLastOut(sequences, n_items, universe)


class Block(nn.Module):
    """One causal transformer block."""

    def __init__(self, s: Settings) -> None:
        super().__init__()
        self.heads, self.norm_first = s.heads, bool(s.norm_first)
        self.norm1, self.norm2 = nn.LayerNorm(s.dim), nn.LayerNorm(s.dim)
        self.qkv, self.out = nn.Linear(s.dim, 3 * s.dim), nn.Linear(s.dim, s.dim)
        self.up = nn.Linear(s.dim, s.feedforward * s.dim)
        self.down = nn.Linear(s.feedforward * s.dim, s.dim)
        self.act = F.gelu if s.activation == "gelu" else F.relu
        self.drop = nn.Dropout(s.dropout)

    def attend(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed_heads: Tensor = self.drop(self.out(mixed.transpose(1, 2).flatten(2)))
        return mixed_heads

    def feed(self, x: Tensor) -> Tensor:
        fed: Tensor = self.drop(self.down(self.drop(self.act(self.up(x)))))
        return fed

    def forward(self, x: Tensor) -> Tensor:
        if self.norm_first:
            x = x + self.attend(self.norm1(x))
            return x + self.feed(self.norm2(x))
        x = self.norm1(x + self.attend(x))
        normed: Tensor = self.norm2(x + self.feed(x))
        return normed


class PlainSASRec(nn.Module):
    """Item embeddings, learned positions, causal blocks, dot product with the same embeddings."""

    def __init__(self, n_items: int, s: Settings) -> None:
        super().__init__()
        self.items = nn.Embedding(n_items, s.dim)
        self.positions = nn.Embedding(s.max_length, s.dim)
        nn.init.normal_(self.items.weight, std=s.init_std)
        nn.init.normal_(self.positions.weight, std=s.init_std)
        self.scale = math.sqrt(s.dim) if s.input_scale else 1.0
        self.drop = nn.Dropout(s.dropout)
        self.blocks = nn.Sequential(*(Block(s) for _ in range(s.blocks)))
        self.norm = nn.LayerNorm(s.dim) if s.norm_first else nn.Identity()

    def forward(self, items: Tensor) -> Tensor:
        """``[b, t]`` → one query a position, ``[b, t, dim]``."""
        x = self.items(items) * self.scale + self.positions.weight[: items.shape[1]]
        tokens: Tensor = self.norm(self.blocks(self.drop(x)))
        return tokens


def train_epochs(model: PlainSASRec, data: LeaveLastOut, s: Settings) -> Iterator[float]:
    """Train; yield the mean loss after each epoch."""
    generator = torch.Generator().manual_seed(s.seed)
    if s.windows:
        padded, mask = data.windows(2, s.max_length)
    else:
        padded, mask = data.crop(2, s.max_length + 1)
    inputs, targets, real = padded[:, :-1], padded[:, 1:], mask[:, 1:]
    optimizer = torch.optim.AdamW(
        model.parameters(),
        s.learning_rate,
        betas=(0.9, s.beta2),
        weight_decay=s.weight_decay,
    )
    universe = data.universe.nonzero()[:, 0]
    column = torch.full((data.n_items,), -1).scatter(0, universe, torch.arange(len(universe)))
    for _ in range(s.epochs):
        model.train()
        total = 0.0
        batches = torch.split(torch.randperm(len(inputs), generator=generator), s.batch_size)
        for rows in batches:
            keep = real[rows]
            queries = model(inputs[rows])[keep]
            logits = queries @ model.items(universe).T
            loss = F.cross_entropy(logits, column[targets[rows][keep]])
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            total += loss.item()
        yield total / len(batches)


@torch.no_grad()
def ndcg(model: PlainSASRec, data: LeaveLastOut, s: Settings, drop: int, k: int = 10) -> float:
    """NDCG@k of the event at ``-drop`` over all unseen items of the training universe."""
    model.eval()
    items, mask = data.crop(drop, s.max_length)
    last = model(items)[torch.arange(len(items)), mask.sum(1) - 1]
    scores = last @ model.items.weight.T
    scores[:, ~data.universe] = -torch.inf
    for row, sequence in enumerate(data.sequences):
        scores[row, sequence[:-drop]] = -torch.inf
    target = torch.stack([sequence[-drop] for sequence in data.sequences])
    own = scores.gather(1, target[:, None])
    rank = (scores > own).sum(1)
    gain = torch.where((rank < k) & own[:, 0].isfinite(), 1 / torch.log2(rank + 2.0), 0.0)
    return float(gain.mean())


def run(data: LeaveLastOut, s: Settings) -> dict[str, object]:
    """Train; return the best validated epoch with its validation and test NDCG@10."""
    torch.manual_seed(s.seed)
    model = PlainSASRec(data.n_items, s)
    best: dict[str, object] = {"validation": -1.0}
    curve, waited, start = [], 0, time.perf_counter()
    for epoch, loss in enumerate(train_epochs(model, data, s), 1):
        if epoch % s.every:
            continue
        score = ndcg(model, data, s, 2)
        curve.append(round(score, 4))
        if score > float(str(best["validation"])):
            test = ndcg(model, data, s, 1)
            best = {"epoch": epoch, "validation": score, "test": test, "loss": loss}
            waited = 0
        else:
            waited += 1
            if s.patience and waited >= s.patience:
                break
    return {**best, "seconds": round(time.perf_counter() - start, 1), "curve": curve}


def main() -> None:
    """Parse settings, run, write one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    for name, value in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    chosen = vars(parser.parse_args())
    data = load(chosen.pop("path"))
    torch.set_num_threads(1)
    print(json.dumps({"settings": chosen, **run(data, Settings(**chosen))}))


if __name__ == "__main__":
    main()
