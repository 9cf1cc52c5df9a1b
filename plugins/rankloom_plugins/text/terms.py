"""Words of texts, their vocabulary, and how many training texts hold each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from rankloom.nn.text import as_text
from rankloom.protocols import Features

__all__ = ["Terms", "dense"]

_WORD = re.compile(r"\w+", re.UNICODE)


@dataclass(frozen=True)
class Terms:
    """A vocabulary of words and pairs of words.

    Attributes:
        names: Terms, in the order of their numbers.
        counts: In how many training texts each occurs.
        n_texts: Training texts.
        mean_length: Their mean length in terms, known ones or not.
        pairs: Pairs of neighbouring words are terms too.
        max_chars: Longer texts are cut there.
    """

    names: Sequence[str] = ()
    counts: Sequence[int] = ()
    n_texts: int = 0
    mean_length: float = 1.0
    pairs: bool = False
    max_chars: int = 1_000_000

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each term."""
        return {name: n for n, name in enumerate(self.names)}

    def of(self, value: Any) -> list[str]:
        """Return the terms of a raw value, lower case; a list's parts are one text."""
        text = as_text(value)
        if text is None:
            return []
        words = _WORD.findall(text[: self.max_chars].lower())
        return [*words, *(f"{a} {b}" for a, b in pairwise(words))] if self.pairs else words

    @staticmethod
    def learn(
        values: Iterable[Any], most: int, min_count: int, pairs: bool, max_chars: int
    ) -> Terms:
        """Count terms over training texts and keep the most frequent ones.

        Args:
            values: Raw values of training rows; blank ones are no texts.
            most: Largest vocabulary.
            min_count: Terms of fewer texts are left out.
            pairs: Pairs of neighbouring words are terms too.
            max_chars: Characters read of each text.
        """
        reader = Terms(pairs=pairs, max_chars=max_chars)
        counts: Counter[str] = Counter()
        texts = total = 0
        for value in values:
            terms = reader.of(value)
            texts += bool(terms)
            total += len(terms)
            counts.update(set(terms))
        kept = sorted(
            (name for name, n in counts.items() if n >= min_count),
            key=lambda name: (-counts[name], name),  # ties by name, so that runs agree
        )[:most]
        mean = total / texts if texts else 1.0
        return Terms(kept, [counts[name] for name in kept], texts, mean, pairs, max_chars)

    def to_meta(self) -> dict[str, Any]:
        """Return plain JSON that :meth:`from_meta` takes back."""
        return {
            "names": list(self.names),
            "counts": list(self.counts),
            "n_texts": self.n_texts,
            "mean_length": self.mean_length,
        }

    def with_meta(self, meta: dict[str, Any]) -> Terms:
        """Return the vocabulary that :meth:`to_meta` told of, with this one's settings."""
        return Terms(
            meta["names"],
            meta["counts"],
            int(meta["n_texts"]),
            float(meta["mean_length"]),
            self.pairs,
            self.max_chars,
        )

    def features(self, values: Sequence[Any]) -> Features:
        """Count terms.

        Returns:
            ``terms [n, t]`` int64 numbers of the distinct known terms of each text and their
            ``counts [n, t]`` float32, 0 at padding; ``length [n]`` float32 terms in all. A text
            without a known term is missing.
        """
        numbers = self.numbers
        rows: list[tuple[list[int], list[int]]] = []
        lengths: list[int] = []
        for value in values:
            terms = self.of(value)
            lengths.append(len(terms))
            found = Counter(numbers[term] for term in terms if term in numbers)
            rows.append((list(found), list(found.values())))
        width = max((len(ids) for ids, _ in rows), default=0)
        ids = torch.zeros(len(rows), max(width, 1), dtype=torch.long)
        counts = torch.zeros(ids.shape)
        for row, (own, often) in enumerate(rows):
            ids[row, : len(own)] = torch.tensor(own, dtype=torch.long)
            counts[row, : len(own)] = torch.tensor(often, dtype=torch.float32)
        tensors = {"terms": ids, "counts": counts, "length": torch.tensor(lengths).float()}
        return Features(tensors, counts[:, 0] > 0)


def dense(terms: Tensor, weights: Tensor, width: int) -> Tensor:
    """Return ``[n, width]`` with ``weights [n, t]`` at the columns ``terms [n, t]``."""
    out = weights.new_zeros(len(terms), width)
    return out.scatter_add_(1, terms, weights)
