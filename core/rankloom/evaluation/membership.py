"""Is this item one of that query's? Answered for a whole block at once."""

from __future__ import annotations

import torch
from torch import Tensor

from rankloom.errors import DataError
from rankloom.protocols.ragged import RaggedIndices

__all__ = ["check_items", "check_targets", "distinct", "is_member"]


def distinct(rows: RaggedIndices, n_items: int) -> RaggedIndices:
    """Return each row's items once, in ascending order.

    Args:
        rows: Item indices below ``n_items``.
        n_items: Rows of the catalog.
    """
    width = max(n_items, 1)
    keys = torch.unique(rows.row_ids() * width + rows.values)
    lengths = torch.bincount(keys // width, minlength=len(rows))
    return RaggedIndices(keys % width, torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]))


def is_member(items: Tensor, rows: RaggedIndices, n_items: int) -> Tensor:
    """Return ``[q, k]`` bool: ``items[i, j]`` is one of ``rows[i]``; -1 never is.

    Args:
        items: ``[q, k]`` int64.
        rows: ``q`` rows of item indices below ``n_items``.
        n_items: Rows of the catalog.
    """
    at = torch.arange(len(rows), device=items.device)[:, None] * n_items
    keys = torch.where(items >= 0, at + items, -1)
    return torch.isin(keys, rows.row_ids() * n_items + rows.values)


def check_items(what: str, items: Tensor, n_items: int, lowest: int = 0) -> None:
    """Make sure that item indices lie inside the catalog.

    Raises:
        DataError: One is below ``lowest`` or not below ``n_items``.
    """
    if not items.numel():
        return
    low, high = int(items.min()), int(items.max())
    if low < lowest or high >= n_items:
        raise DataError(
            f"The {what} hold item indices from {low} to {high}, but the catalog has {n_items} "
            f"items (0 to {n_items - 1})."
        )


def check_targets(query_ids: Tensor, targets: RaggedIndices, n_items: int) -> None:
    """Make sure that every query has a target and every target is an item.

    Raises:
        DataError: A query has none, or a target lies outside the catalog.
    """
    bare = (targets.lengths == 0).nonzero()
    if bare.numel():
        raise DataError(
            f"Query {int(query_ids[bare[0, 0]])} has no target to be found. Leave queries without "
            "held-out positives out of the evaluation."
        )
    check_items("targets", targets.values, n_items)
