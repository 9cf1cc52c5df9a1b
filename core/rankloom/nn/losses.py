"""Losses that plugins share."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rankloom.protocols import CandidateBatch, Encoded, ScoreFunction, TrainBatch

__all__ = [
    "chunked_cross_entropy",
    "cross_entropy",
    "sampled_cross_entropy",
    "slice_candidates",
    "weighted_mean",
]

_Parts = tuple[Tensor, Tensor, Tensor, Tensor]


def weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """Return ``sum(w * l) / sum(w)`` of two ``[q]`` tensors; 0 (with a gradient) if all w are 0."""
    return (losses * weights).sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)


def slice_candidates(candidates: CandidateBatch, start: int, stop: int) -> CandidateBatch:
    """Return the candidates in columns ``start:stop``, with their mask, law and vectors."""
    columns = slice(start, stop)
    encoded = candidates.encoded
    if encoded is not None:
        at = (columns,) if candidates.shared else (slice(None), columns)
        encoded = Encoded(
            encoded.vectors[at],
            None if encoded.tokens is None else encoded.tokens[at],
            None if encoded.mask is None else encoded.mask[at],
        )
    return replace(
        candidates,
        items=candidates.items[..., columns],
        mask=None if candidates.mask is None else candidates.mask[..., columns],
        log_q=None if candidates.log_q is None else candidates.log_q[..., columns],
        encoded=encoded,
        reasons={name: mask[..., columns] for name, mask in candidates.reasons.items()},
    )


def cross_entropy(score: ScoreFunction, batch: TrainBatch, label_smoothing: float = 0.0) -> Tensor:
    """Weighted mean cross-entropy of the targets over the batch's shared candidates.

    Args:
        score: Scores candidates over ``batch.queries``.
        batch: With ``candidates [n]`` and ``target_columns [q]``.
        label_smoothing: Probability mass spread evenly over all allowed candidates.

    Returns:
        A scalar.
    """
    candidates, columns = _catalog(batch)
    logits = _logits(score, candidates)
    if candidates.mask is None:
        losses = F.cross_entropy(logits, columns, reduction="none", label_smoothing=label_smoothing)
        return weighted_mean(losses, batch.weights)
    losses = _losses(_parts(logits, columns, bool(label_smoothing)), label_smoothing)
    return weighted_mean(losses, batch.weights)


def chunked_cross_entropy(
    score: ScoreFunction, batch: TrainBatch, chunk: int, label_smoothing: float = 0.0
) -> Tensor:
    """Return :func:`cross_entropy` without ever holding logits of all candidates.

    The log-normaliser is the logsumexp of each chunk's logsumexp. Chunks are checkpointed: their
    logits are computed again in the backward pass, one chunk at a time.

    Args:
        score: Scores candidates over ``batch.queries``; called twice a chunk when training.
        batch: With ``candidates [n]`` and ``target_columns [q]``.
        chunk: Candidates scored at a time.
        label_smoothing: See :func:`cross_entropy`.

    Returns:
        A scalar, equal in value and gradient to the loss in one piece.
    """
    candidates, columns = _catalog(batch)
    smooth = bool(label_smoothing)

    def part(start: int, stop: int) -> _Parts:
        return _parts(
            _logits(score, slice_candidates(candidates, start, stop)), columns - start, smooth
        )

    results = []
    for start in range(0, candidates.width, chunk):
        stop = min(start + chunk, candidates.width)
        results.append(
            checkpoint(part, start, stop, use_reentrant=False)
            if torch.is_grad_enabled()
            else part(start, stop)
        )
    log_norms, targets, totals, counts = (torch.stack(x) for x in zip(*results, strict=True))
    summed = log_norms.logsumexp(0), targets.sum(0), totals.sum(0), counts.sum(0)
    losses = _losses(summed, label_smoothing)
    return weighted_mean(losses, batch.weights)


def sampled_cross_entropy(
    score: ScoreFunction, batch: TrainBatch, label_smoothing: float = 0.0
) -> Tensor:
    """Weighted mean cross-entropy of each target against sampled negatives.

    ``-log(e^s+ / (e^s+ + sum_j e^(s_j - log(n q_j))))``: each of the ``n`` negatives stands for as
    many items as its law ``q`` left out, so that the sum estimates the softmax over everything
    (Bengio and Senecal, 2008). Negatives without ``log_q`` are taken as they are.

    Args:
        score: Scores candidates over ``batch.queries``.
        batch: With negatives ``[q, n]`` or shared ``[n]`` in ``candidates``; masked ones (the
            target itself) do not count.
        label_smoothing: Probability mass spread evenly over the negatives.

    Returns:
        A scalar.

    Raises:
        ValueError: The batch has no negatives.
    """
    drawn = batch.candidates
    if drawn is None:
        raise ValueError("Sampled cross-entropy needs negatives; the batch has none.")
    positive = score(batch.target_candidates()).values
    negative = score(drawn).values
    if drawn.log_q is not None:
        expected = drawn.log_q + math.log(drawn.width)
        negative = negative - expected.to(negative.dtype)
    negative = negative.masked_fill(~drawn.allowed(len(batch)), -torch.inf)
    columns = batch.targets.new_zeros(len(batch))
    parts = _parts(torch.cat([positive, negative], dim=1), columns, bool(label_smoothing))
    return weighted_mean(_losses(parts, label_smoothing), batch.weights)


def _catalog(batch: TrainBatch) -> tuple[CandidateBatch, Tensor]:
    if batch.candidates is None or batch.target_columns is None or not batch.candidates.shared:
        raise ValueError(
            "Cross-entropy over the catalog needs a batch whose candidates are shared by all "
            "queries and whose target_columns say where each target stands among them."
        )
    return batch.candidates, batch.target_columns


def _logits(score: ScoreFunction, candidates: CandidateBatch) -> Tensor:
    logits = score(candidates).values
    return logits if candidates.mask is None else logits.masked_fill(~candidates.mask, -torch.inf)


def _parts(logits: Tensor, columns: Tensor, smooth: bool) -> _Parts:
    """Log-normaliser, target logit (0 if elsewhere), sum and number of allowed logits: ``[q]``."""
    inside = (columns >= 0) & (columns < logits.shape[1])
    picked = logits.gather(1, columns.clamp(0, logits.shape[1] - 1)[:, None])[:, 0]
    target = torch.where(inside, picked, torch.zeros_like(picked))
    log_norm = logits.logsumexp(1)
    if not smooth:
        nothing = torch.zeros_like(log_norm)
        return log_norm, target, nothing, nothing
    allowed = logits > -torch.inf
    return log_norm, target, logits.masked_fill(~allowed, 0).sum(1), allowed.sum(1).to(logits)


def _losses(parts: _Parts, mass: float) -> Tensor:
    log_norm, target, total, count = parts
    losses = log_norm - target
    if mass:
        losses = (1 - mass) * losses + mass * (log_norm - total / count.clamp(min=1))
    return losses
