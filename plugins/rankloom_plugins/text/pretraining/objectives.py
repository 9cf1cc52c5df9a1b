"""What a text model learns from the catalog: losses over batches of texts."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankloom.nn.pooling import Pooling, pool
from rankloom.training.terms import Term
from rankloom_plugins.text.pretraining.batches import TextBatch

__all__ = ["Causal", "Contrastive", "Factors", "Masked", "Objective", "Tastes", "mask_tokens"]

#: Length of the list that ``Factors`` is judged by.
LENGTH = 20

#: Label of a token that is not to be predicted, as ``cross_entropy`` knows it.
IGNORED = -100


class Objective(Protocol):
    """A loss, and how texts that were not trained on are judged.

    Attributes:
        module: What trains.
        network: The part of it that is saved.
        measure: What is reported.
        monitor: What training watches: a name that starts with ``loss`` is to fall.
    """

    module: nn.Module
    network: Any
    measure: str
    monitor: str

    def loss(self, batch: TextBatch) -> list[Term]:
        """Return the mean loss and what it is a mean over; draws from the global generator."""
        ...

    def judge(self, batches: list[TextBatch], looks: int) -> float:
        """Return the monitored value, the same whenever it is asked for.

        Args:
            batches: The texts.
            looks: How often to go through them, where masks or dropout are drawn.
        """
        ...

    def report(self, value: float) -> float:
        """Return a monitored value as the measure."""
        ...


class _Perplexity(ABC):
    """Losses that are negative log-likelihoods.

    Attributes:
        module: What trains.
        drawn: Each look draws anew.
        noisy: Dropout is part of the loss, so it stays on while texts are judged.
    """

    measure = "perplexity"
    monitor = "loss_validation"
    drawn = True
    noisy = False
    module: nn.Module

    @abstractmethod
    def loss(self, batch: TextBatch) -> list[Term]:
        """Return the mean negative log-likelihood and what it is a mean over."""

    @torch.no_grad()
    def judge(self, batches: list[TextBatch], looks: int) -> float:
        """Return the mean loss."""
        device = next(self.module.parameters()).device
        was = self.module.training
        self.module.train(self.noisy)
        total = weight = 0.0
        with torch.random.fork_rng():
            torch.manual_seed(0)
            for _ in range(looks if self.drawn else 1):
                for batch in batches:
                    for term in self.loss(batch.to(device)):
                        total += float(term.value) * float(term.weight)
                        weight += float(term.weight)
        self.module.train(was)
        return total / max(weight, 1.0)

    def report(self, value: float) -> float:
        """Return the exponential of a mean loss."""
        return math.exp(min(value, 700.0))


class Masked(_Perplexity):
    """Masked language modelling (Devlin et al., 2019): 15 % of the tokens are to be found.

    Args:
        network: A masked language model of transformers.
        tokenizer: Its tokeniser.
    """

    def __init__(self, network: nn.Module, tokenizer: Any) -> None:
        self.module: nn.Module = network
        self.network: Any = network
        special = torch.zeros(len(tokenizer), dtype=torch.bool)
        special[tokenizer.all_special_ids] = True
        self.special, self.mask_id = special, int(tokenizer.mask_token_id)

    def loss(self, batch: TextBatch) -> list[Term]:
        ids, labels = mask_tokens(batch.ids, batch.mask, self.special, self.mask_id)
        chosen = labels != IGNORED
        logits = self._logits(ids, batch.mask, chosen)
        return [Term(F.cross_entropy(logits, labels[chosen]), chosen.sum())]

    def _logits(self, ids: Tensor, mask: Tensor, chosen: Tensor) -> Tensor:
        """``[m, vocabulary]`` at the chosen tokens alone: the head is wide, and most need none."""
        head = getattr(self.network, "cls", None)
        if head is None:
            whole: Tensor = self.network(input_ids=ids, attention_mask=mask).logits
            return whole[chosen].float()
        states = self.network.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
        logits: Tensor = head(states[chosen])
        return logits.float()


def mask_tokens(
    ids: Tensor, mask: Tensor, special: Tensor, mask_id: int, share: float = 0.15
) -> tuple[Tensor, Tensor]:
    """Hide tokens: of those chosen 80 % become the mask, 10 % another token, 10 % stay.

    Args:
        ids: ``[b, t]`` int64.
        mask: ``[b, t]``, 1 at real tokens.
        special: ``[vocabulary]`` bool: never chosen.
        mask_id: The mask token.
        share: Of the tokens that are chosen; one at least of each text, since titles are short.

    Returns:
        Ids ``[b, t]`` and labels ``[b, t]``, -100 where nothing is to be found.
    """
    open_ = (mask > 0) & ~special.to(ids.device)[ids]
    drawn = torch.rand(ids.shape).to(ids.device).masked_fill(~open_, 2.0)
    chosen = drawn < share
    first = torch.zeros_like(chosen).scatter_(1, drawn.argmin(1, keepdim=True), True)
    chosen = (chosen | first) & open_
    labels = torch.where(chosen, ids, torch.full_like(ids, IGNORED))
    fate = torch.rand(ids.shape).to(ids.device)
    words = (~special).nonzero()[:, 0]
    other = words[torch.randint(len(words), ids.shape)].to(ids.device)
    hidden = torch.where(fate < 0.8, torch.full_like(ids, mask_id), other)
    return torch.where(chosen & (fate < 0.9), hidden, ids), labels


class Causal(_Perplexity):
    """Causal language modelling (Radford et al., 2019): each token from those before it.

    A text ends with the end-of-text token, which is to be predicted too.

    Args:
        network: A causal language model of transformers.
        tokenizer: Its tokeniser.
    """

    drawn = False

    def __init__(self, network: nn.Module, tokenizer: Any) -> None:
        self.module: nn.Module = network
        self.network: Any = network
        self.end = int(tokenizer.eos_token_id)

    def loss(self, batch: TextBatch) -> list[Term]:
        ends = batch.mask.sum(1, keepdim=True)
        width = F.pad(batch.ids, (0, 1), value=self.end)
        ids = width.scatter(1, ends, self.end)
        mask = F.pad(batch.mask, (0, 1)).scatter(1, ends, 1)
        logits = self.network(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
        wanted = mask[:, 1:] > 0
        loss = F.cross_entropy(logits[wanted], ids[:, 1:][wanted])
        return [Term(loss, wanted.sum())]


class Contrastive(_Perplexity):
    """Two dropout views of a text find one another among the batch (Gao et al., 2021, SimCSE).

    Its perplexity is over the views of a batch: 1 is certain, the batch's size is a guess.

    Args:
        network: An encoder of transformers whose dropout is not zero.
        pooling: Tokens to one vector.
        temperature: Of the cosines.
    """

    noisy = True

    def __init__(self, network: nn.Module, pooling: Pooling, temperature: float) -> None:
        self.module: nn.Module = network
        self.network: Any = network
        self.pooling = pooling
        self.temperature = temperature

    def loss(self, batch: TextBatch) -> list[Term]:
        one, two = (
            F.normalize(_pooled(self.network, batch, self.pooling), dim=1) for _ in range(2)
        )
        logits = one @ two.T / self.temperature
        return [Term(F.cross_entropy(logits, torch.arange(len(one)).to(one.device)), len(one))]


@dataclass(frozen=True)
class Tastes:
    """What users like, where some items count as cold.

    Attributes:
        factors: ``[n, r]`` collaborative factors by place in the catalog's list, mean squared
            length 1.
        users: ``[q, r]``: what the users' other items say of them, in the space of the factors.
        hits: ``[q, n]`` bool: what they took.
    """

    factors: Tensor
    users: Tensor
    hits: Tensor


class Factors:
    """The vector of a text foretells its item's collaborative factors, through a linear map.

    The map starts as the ridge regression from the untouched model's vectors, so that training
    leaves from what a frozen encoder attains, not from noise (Kumar et al., 2022). Texts are judged
    by how well users' items are found among theirs: the squared error says little of that.

    Args:
        network: An encoder of transformers.
        pooling: Tokens to one vector.
        tastes: What is foretold, and by whom it is judged.
    """

    measure = f"ndcg@{LENGTH}"
    monitor = f"ndcg@{LENGTH}"

    def __init__(self, network: nn.Module, pooling: Pooling, tastes: Tastes) -> None:
        self.network: Any = network
        self.pooling: Pooling = pooling
        self.tastes = tastes
        settings: Any = network.config
        self.map = nn.Linear(int(settings.hidden_size), tastes.factors.shape[1])
        self.module: nn.Module = nn.ModuleDict({"network": network, "map": self.map})

    @torch.no_grad()
    def start(
        self, batches: list[TextBatch], judged: list[TextBatch], strengths: tuple[float, ...]
    ) -> None:
        """Solve for the map on training texts, with the strength that judged texts like best.

        Args:
            batches: Training texts.
            judged: What the choice is made by.
            strengths: In units of the vectors' mean squared length about their mean.
        """
        self.module.eval()
        vectors, wanted = self._encoded(batches).double(), self.tastes.factors[_texts(batches)]
        new = self._encoded(judged)
        mean, middle = vectors.mean(0), wanted.double().mean(0)
        moved, targets = vectors - mean, wanted.double() - middle
        gram = moved.T @ moved
        size = float(moved.square().sum(1).mean())
        best = -1.0
        for strength in strengths:
            stronger = gram + strength * size * torch.eye(len(gram), dtype=gram.dtype)
            weights = torch.linalg.solve(stronger, moved.T @ targets)
            bias = middle - mean @ weights
            value = self._ndcg(new @ weights.float() + bias.float(), _texts(judged))
            if value > best:
                best = value
                self.map.weight.copy_(weights.T.float())
                self.map.bias.copy_(bias.float())

    def loss(self, batch: TextBatch) -> list[Term]:
        found = self.map(_pooled(self.network, batch, self.pooling))
        wanted = self.tastes.factors.to(found.device)[batch.texts]
        return [Term((found - wanted).square().sum(1).mean(), len(found))]

    @torch.no_grad()
    def judge(self, batches: list[TextBatch], looks: int) -> float:
        """Return the NDCG of the users who took any of the texts' items, ranked among these."""
        was = self.module.training
        self.module.eval()
        found = self._mapped(batches)
        self.module.train(was)
        return self._ndcg(found, _texts(batches))

    def _mapped(self, batches: list[TextBatch]) -> Tensor:
        device = self.map.weight.device
        return torch.cat(
            [self.map(_pooled(self.network, batch.to(device), self.pooling)) for batch in batches]
        ).cpu()

    def _encoded(self, batches: list[TextBatch]) -> Tensor:
        return torch.cat([_pooled(self.network, batch, self.pooling) for batch in batches])

    def _ndcg(self, factors: Tensor, texts: Tensor) -> float:
        """NDCG of the users who took any of the texts' items, ranked by predicted factors."""
        hits = self.tastes.hits[:, texts]
        asked = hits.any(1)
        return _ndcg(self.tastes.users[asked] @ factors.T, hits[asked])

    def report(self, value: float) -> float:
        return value


def _pooled(network: Any, batch: TextBatch, pooling: Pooling) -> Tensor:
    """``[b, d]``: one vector a text, as an encoder will make it."""
    states = network(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state
    return pool(states.float(), batch.mask, pooling)


def _texts(batches: list[TextBatch]) -> Tensor:
    return torch.cat([batch.texts for batch in batches])


def _ndcg(scores: Tensor, hits: Tensor) -> float:
    """Mean NDCG@LENGTH of rows of scores; 0 where there are none."""
    if not len(scores):
        return 0.0
    k = min(LENGTH, scores.shape[1])
    discount = 1 / torch.log2(torch.arange(k) + 2.0)
    gain = (hits.gather(1, scores.topk(k, dim=1).indices).float() * discount).sum(1)
    ideal = discount.cumsum(0)[hits.sum(1).clamp(max=k) - 1]
    return float((gain / ideal).mean())
