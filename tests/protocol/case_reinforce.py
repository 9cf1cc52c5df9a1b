"""REINFORCE with top-K correction: slates of the current policy, answered by a simulator."""

import torch
from torch import Tensor

from rankloom.protocols import Policy, ScoredCandidates, Scorer, Simulator, Transition


def loss(batch: Transition, model: Scorer) -> Tensor:
    k, log_q = batch.slates.items.shape[1], batch.slates.log_probs
    log_pi = model.score(batch.queries, batch.candidates).values.log_softmax(1)
    log_p = log_pi.gather(1, batch.columns().clamp(min=0))
    weight = (log_p - log_q).exp().clamp(max=10) * k * (1 - log_p.exp()) ** (k - 1)
    return -(weight.detach() * log_p * batch.rewards * (batch.slates.items >= 0)).mean()


def act(
    world: Simulator, policy: Policy, asked: ScoredCandidates, generator: torch.Generator
) -> Transition:
    slates = policy.decide(asked, 2, (), generator)
    following, rewards, done = world.step(slates)
    worth = torch.full((len(done),), 0.9)
    step = (asked.queries, asked.candidates, slates, rewards, following, done, worth)
    return Transition(*step)
