"""Items by the cosine of their vectors: neighbours of an item, zero-shot search by text."""

from __future__ import annotations

import torch
from torch import Tensor

from rankloom.api.query import check_k, unknown_id
from rankloom.api.slate import Slate
from rankloom.data.tables import Table
from rankloom.errors import QueryError, did_you_mean
from rankloom.nn.encoding import encode_values
from rankloom.pipeline.builder import Parts

__all__ = ["similar_items", "similar_to_text"]


def similar_items(items: Table, parts: Parts, item: object, k: int, model: str | None) -> Slate:
    """Return the items nearest to one by a model's item vectors.

    Raises:
        QueryError: Unknown item, or no such model with vectors.
    """
    index = items.ids.index(item)
    if index < 0:
        raise QueryError(unknown_id(items, item))
    if not parts.tables:
        raise QueryError(
            "This pipeline has no model, so its items have no vectors to compare. Add a `model:` "
            "with item encoders and fit again."
        )
    name = model or next(iter(parts.tables))
    if name not in parts.tables:
        raise QueryError(
            f"There is no model {name!r}.{did_you_mean(name, parts.tables)} "
            f"Models: {', '.join(parts.tables)}."
        )
    table = parts.tables[name]
    if not bool(table.present[index]):
        raise QueryError(
            f"Item {item!r} has no vector of the model {name!r}: none of its encoders "
            f"({', '.join(table.fields)}) knows a value of it, so there is nothing to compare."
        )
    return _nearest(items, table.vectors, table.present, table.vectors[index], k, index)


def similar_to_text(items: Table, parts: Parts, field: str | None, text: str, k: int) -> Slate:
    """Return the items whose ``field`` is nearest to a text by a frozen encoder, untrained.

    Raises:
        QueryError: No item encoder reads text.
    """
    for table in parts.tables.values():
        for name, encoder in table.model.items.encoders.items():
            if table.fields[name].removeprefix("item.") == field:
                features, _ = encode_values(encoder, [text], cache=None)
                with torch.inference_mode():
                    wanted, _ = table.model.items.run(name, features)
                    known, present = table.model.items.run(name, table.features[name])
                return _nearest(items, known.vectors, present, wanted.vectors[0], k, -1)
    raise QueryError(
        "No item encoder of this pipeline reads text. Add one (for example {type: bert, "
        "field: title}) and fit again."
    )


def _nearest(
    items: Table, vectors: Tensor, present: Tensor, wanted: Tensor, k: int, skip: int
) -> Slate:
    check_k(k)
    normal = torch.nn.functional.normalize(vectors, dim=1)
    cosine = normal @ torch.nn.functional.normalize(wanted, dim=0)
    cosine = cosine.masked_fill(~present, -torch.inf)
    if skip >= 0:
        cosine[skip] = -torch.inf
    top = cosine.topk(min(k, len(cosine)))
    found = [
        index if score > -torch.inf else -1
        for index, score in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    ]
    return Slate.of(items, found, top.values.tolist(), [0.0] * len(found), {})
