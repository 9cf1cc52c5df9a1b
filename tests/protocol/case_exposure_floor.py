"""An exposure floor kept over many requests: a guard whose penalty follows what was shown."""

import torch
from torch import Tensor

from rankloom.protocols import GuardBase, ScoredCandidates, Slates, State, TrainData


class ExposureFloor(GuardBase):
    reason = "exposure floor"

    def __init__(self, field: str, value: str, floor: float, strength: float) -> None:
        self.field, self.value, self.floor, self.strength = field, value, floor, strength
        self.shown, self.total = torch.zeros(()), torch.zeros(())

    def prepare(self, train: TrainData) -> None:
        raw = train.items.values(self.field)
        self.member = torch.tensor([value == self.value for value in raw])

    def penalty(self, scored: ScoredCandidates, prefix: Tensor) -> Tensor:
        deficit = (self.floor * self.total - self.shown).clamp(min=0)
        items = scored.candidates.expand(len(scored.queries)).clamp(min=0)
        return -self.strength * deficit * self.member[items]

    def observe(self, slates: Slates) -> None:
        shown = slates.items[slates.items >= 0]
        self.shown, self.total = self.shown + self.member[shown].sum(), self.total + len(shown)

    def export_state(self) -> State:
        return State({"member": self.member, "shown": self.shown, "total": self.total})
