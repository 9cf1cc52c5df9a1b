"""REINFORCE with top-K correction: slates of the current policy, answered by a simulator."""

from typing import NamedTuple

import torch
from torch import Tensor

from rankloom.protocols import Policy, QueryBatch, ScoredCandidates, Scorer, Simulator, Slates


class Step(NamedTuple):
    asked: ScoredCandidates
    slates: Slates
    rewards: Tensor


def loss(step: Step, model: Scorer) -> Tensor:
    k, shown, asked = step.slates.items.shape[1], step.slates.items, step.asked
    log_pi = model.score(asked.queries, asked.candidates).values.log_softmax(1)
    columns = (asked.candidates.expand(len(shown))[:, None] == shown[..., None]).int().argmax(-1)
    log_p = log_pi.gather(1, columns)
    weight = (log_p - step.slates.log_probs).exp().clamp(max=10) * k * (1 - log_p.exp()) ** (k - 1)
    return -(weight.detach() * log_p * step.rewards).mean()


def act(
    world: Simulator, policy: Policy, asked: ScoredCandidates, generator: torch.Generator
) -> tuple[Step, QueryBatch]:
    slates = policy.decide(asked, 2, (), generator)
    following, rewards, _ = world.step(slates)
    return Step(asked, slates, rewards), following
