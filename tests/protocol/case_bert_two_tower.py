"""Two towers over one BERT; a request's free text is a pseudo-item with a vector of its own."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from rankloom.protocols import Encoded, Features, QueryBatch


class Bert(nn.Module):
    def __init__(self, backbone: nn.Module, hidden: int, dim: int) -> None:
        super().__init__()
        self.dim, self.backbone, self.head = dim, backbone.eval(), nn.Linear(hidden, dim)

    def collate(self, values: Sequence[str | None]) -> Features:
        rows = [torch.tensor([1, *(value or "").encode()]) for value in values]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return Features({"ids": ids}, torch.tensor([value is not None for value in values]))

    @torch.no_grad()
    def precompute(self, features: Features) -> Features:
        mask = features["ids"] > 0
        states: Tensor = self.backbone(features["ids"], attention_mask=mask).last_hidden_state
        pooled = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return Features({"pooled": pooled}, features.present)

    def forward(self, features: Features) -> Encoded:
        return Encoded(self.head(features["pooled"]))


def with_text(queries: QueryBatch, model: str, encoder: Bert, text: Features) -> QueryBatch:
    vectors = encoder(encoder.precompute(text)).vectors * text.present[:, None]
    return replace(queries, text_vectors={model: vectors}, has_text=text.present)
