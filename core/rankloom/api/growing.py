"""Items that come after the fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rankloom.data.cache import EmbeddingCache
from rankloom.data.column_names import usual_column
from rankloom.data.dataset import Dataset
from rankloom.data.frames import as_frame
from rankloom.errors import DataError
from rankloom.pipeline.builder import Parts

__all__ = ["add_items"]


def add_items(dataset: Dataset, parts: Parts, items: Any, cache: EmbeddingCache) -> Dataset:
    """Append items to the catalog, encode them, and make room for them in every scorer.

    Args:
        dataset: The data so far.
        parts: Fitted components; changed in place.
        items: Data frame (polars or pandas) or a list of mappings, with item fields and the ids
            under ``id`` or a usual name (``item``, ``item_id``, ``movieId``).
        cache: Frozen encodings.

    Returns:
        The data with the longer catalog.

    Raises:
        DataError: No id column, an id that is missing, given twice or there already, or a column
            that is no item field.
    """
    frame = as_frame(items)
    free = [name for name in frame.columns if name not in dataset.items.fields]
    key = "id" if "id" in free else usual_column(free, "item")
    if key is None:
        raise DataError(
            f"add_items: there is no column 'id' (or 'item', 'item_id', ...) with the new items' "
            f"ids. Columns: {', '.join(frame.columns) or 'none'}."
        )
    ids = frame[key].to_list()
    _check_ids(ids)
    start = len(dataset.items)
    table = dataset.items.extended(ids, frame.drop(key))
    rows = list(range(start, len(table)))
    if not rows:
        return dataset
    for item_table in parts.tables.values():
        for encoder in item_table.model.items.encoders.values():
            if hasattr(encoder, "load"):
                encoder.load()
        item_table.append(table, rows, cache)
    for _, component in parts.components():
        if hasattr(component, "extend"):
            component.extend(len(table))
    return replace(dataset, items=table)


def _check_ids(ids: list[object]) -> None:
    seen: set[object] = set()
    for row, key in enumerate(ids, start=1):
        if key is None:
            raise DataError(f"add_items: row {row} has no id.")
        if key in seen:
            raise DataError(f"add_items: id {key!r} is given twice (row {row}).")
        seen.add(key)
