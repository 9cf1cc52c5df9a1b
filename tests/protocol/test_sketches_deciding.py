"""The sketches of policies, guards, serving, splits and training do what is said of them."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn

from rankloom.data.dataset import Dataset
from rankloom.protocols import (
    CandidateBatch,
    Decisions,
    Encoded,
    Features,
    Guard,
    Policy,
    QueryBatch,
    Retriever,
    ScoredCandidates,
    Scores,
    Slates,
    Split,
    TrainBatch,
    Transition,
)
from rankloom.testing import World
from rankloom.testing.doubles import InnerProduct, WordEncoder

HERE = Path(__file__).parent
DIM = 8
Sketch = Callable[[str], Any]


def test_linucb_learns_online(world: World, sketch: Sketch) -> None:
    bandit = sketch("linucb").LinUcb(DIM, 3.0)
    policy: Policy = bandit
    truth = torch.randn(DIM, generator=torch.Generator().manual_seed(1))
    scored = world.scored(12, gaps=False)
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        slates = policy.decide(scored, 2, (), generator)
        rewards = world.item_vectors[slates.items] @ truth
        policy.update(Decisions(scored, slates, rewards))
    bandit.alpha = 0.0  # what it has learned, without what it still wants to find out
    learned = policy.decide(scored, 1, (), generator).items[:, 0]
    assert (learned == (world.item_vectors @ truth).argmax()).all()
    # every rewarded slot adds one vector of length 1 to the identity it began with
    assert torch.allclose(bandit.precision.trace(), torch.tensor(DIM + 30 * 6 * 2.0), rtol=1e-4)
    unknown = torch.full((6, 2), torch.nan)
    policy.update(Decisions(scored, slates, unknown))  # nothing came back: nothing is learned
    assert torch.allclose(bandit.precision.trace(), torch.tensor(DIM + 30 * 6 * 2.0), rtol=1e-4)
    slates = policy.decide(scored, 2, (), generator)
    assert torch.equal(policy.log_prob(scored, slates, ()), slates.log_probs)


class Sampled:
    """Plackett-Luce over the given scores, as a policy and as the scorer it trains."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        return Scores(candidates.gather(self.logits.expand(len(queries), -1)))

    def decide(
        self, scored: ScoredCandidates, k: int, guards: object, generator: torch.Generator
    ) -> Slates:
        log_pi = scored.scores.values.detach().log_softmax(1)
        columns = log_pi.exp().multinomial(k, generator=generator)
        items = scored.candidates.expand(len(columns)).gather(1, columns)
        return Slates(items, scored.scores.values.gather(1, columns), log_pi.gather(1, columns))

    def log_prob(
        self, scored: ScoredCandidates, slates: Slates, guards: object, state: object = None
    ) -> Tensor:
        return slates.log_probs

    def update(self, decisions: object) -> None:
        return None


class LikesItemThree:
    def __init__(self, world: World) -> None:
        self.queries = world.queries

    def reset(self, seed: int) -> QueryBatch:
        return self.queries

    def step(self, slates: Slates) -> tuple[QueryBatch, Tensor, Tensor]:
        return self.queries, (slates.items == 3).float(), torch.zeros(len(slates.items)).bool()


def test_reinforce_trains_in_a_simulator(world: World, sketch: Sketch) -> None:
    case, logits = sketch("reinforce"), torch.zeros(12, requires_grad=True)
    policy, simulator = Sampled(logits), LikesItemThree(world)
    optimizer = torch.optim.Adam([logits], 0.2)
    queries, generator = simulator.reset(0), torch.Generator().manual_seed(0)
    for _ in range(40):
        scores = policy.score(queries, world.candidates())
        asked = ScoredCandidates(queries, world.candidates(), scores)
        step = case.act(simulator, policy, asked, generator)
        queries = step.next_queries
        optimizer.zero_grad()
        case.loss(step, policy).backward()
        optimizer.step()
    assert int(logits.argmax()) == 3


def _transition(asked: ScoredCandidates, slates: Slates, rewards: Tensor) -> Transition:
    done = torch.tensor([False] * 5 + [True])
    return Transition(
        asked.queries, asked.candidates, slates, rewards, asked.queries, done, torch.full((6,), 0.5)
    )


def test_top_k_correction_is_none_for_one_slot(world: World, sketch: Sketch) -> None:
    case, logits = sketch("reinforce"), torch.randn(12).requires_grad_()
    policy = Sampled(logits)
    asked = ScoredCandidates(
        world.queries, world.candidates(), policy.score(world.queries, world.candidates())
    )
    slates = policy.decide(asked, 1, (), torch.Generator().manual_seed(3))
    step = _transition(asked, slates, torch.ones(6, 1))
    (slope,) = torch.autograd.grad(case.loss(step, policy), logits)
    again = logits.detach().clone().requires_grad_()
    plain = -again.log_softmax(0)[slates.items[:, 0]].mean()
    (expected,) = torch.autograd.grad(plain, again)
    assert torch.allclose(slope, expected, atol=1e-6)


def test_sqn_head_learns_beside_the_tower(world: World, sketch: Sketch) -> None:
    case = sketch("sqn")
    head, tower = case.SqnHead(DIM, 12), nn.Linear(DIM, DIM)

    def model(queries: QueryBatch) -> Encoded:
        assert queries.encoded is not None
        return Encoded(tower(queries.encoded.vectors))

    shown = torch.arange(6)[:, None]
    slates = Slates(shown, torch.zeros(6, 1), torch.zeros(6, 1))
    batch = _transition(world.scored(12), slates, torch.ones(6, 1))
    assert torch.equal(batch.returns(torch.ones(6)), torch.tensor([1.5] * 5 + [1.0]))
    optimizer = torch.optim.Adam([*head.parameters(), *tower.parameters()], 0.02)
    losses, before = [], head.slow.weight.clone()
    for _ in range(30):
        optimizer.zero_grad()
        loss = head.loss(batch, model)
        loss.backward()
        optimizer.step()
        head.after_step(model)
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2
    assert head.slow.weight.grad is None
    assert not torch.equal(before, head.slow.weight)


def test_exposure_floor_is_kept_over_requests(world: World, sketch: Sketch) -> None:
    floor = sketch("exposure_floor").ExposureFloor("kind", "series", floor=0.5, strength=0.2)
    guard: Guard = floor
    floor.prepare(world.train)
    scores = torch.linspace(1, 0, 12) - floor.member.float()  # series are never best by themselves
    shown = []
    for _ in range(60):
        scored = ScoredCandidates(
            world.queries, world.candidates(), Scores(scores.expand(len(world.queries), -1))
        )
        penalty = guard.penalty(scored, torch.empty(6, 0))
        assert penalty is not None
        items = (scored.scores.values - penalty).topk(2).indices
        guard.observe(Slates(items, torch.zeros(6, 2), torch.zeros(6, 2)))
        shown.append(floor.member[items].float().mean())
    assert shown[0] == 0
    assert floor.shown / floor.total > 0.45
    assert floor.export_state().tensors.keys() == {"member", "shown", "total"}


def test_item_added_while_serving(world: World, sketch: Sketch, nearest: Any) -> None:
    case, encoder, retriever = sketch("item_added"), WordEncoder(DIM), nearest
    extended: list[int] = []
    scorer = type("Closed", (), {"extend": lambda self, n: extended.append(n)})()
    table = case.encode(world.items, list(range(12)), torch.empty(0, DIM), encoder, "title")
    retriever.refresh(table, None)
    values = pl.DataFrame({"title": ["Robots of the Outer Ring"]})
    grown, rows = case.append(world.items, ["new"], values)
    longer = case.encode(grown, rows, table, encoder, "title").detach()
    case.announce(longer, rows, retriever, [scorer])
    assert (grown.ids.index("new"), rows, extended) == (12, [12], [13])
    assert grown.values("genres", rows) == [None]  # an absent column is a missing modality
    checked: Retriever = retriever
    asked = world.queries.with_encoded(Encoded(longer[[6] * 6]))
    assert set(checked.retrieve(asked, 2, None).items[0].tolist()) == {6, 12}


def test_cold_items_leave_the_universe_and_are_ranked_alone(world: World, sketch: Sketch) -> None:
    case = sketch("cold_items")
    dataset = Dataset(
        world.items, world.users, world.train.interactions, world.train.positive, name="tiny"
    )
    split: Split = case.ColdItems()
    parts = split.split(dataset, 1)
    items = dataset.interactions.items
    for phase, rows in ((parts.validation, parts.train), (parts.test, parts.refit)):
        assert rows is not None
        assert phase.candidates[items[phase.targets]].all()
        assert not phase.candidates[items[rows]].any()
        assert not (case.universe(dataset, rows) & phase.candidates).any()
    assert not (parts.validation.candidates & parts.test.candidates).any()


def test_multi_task_adds_weighted_losses(world: World, sketch: Sketch) -> None:
    case, towers = sketch("multi_task"), nn.Linear(DIM, DIM)
    heads = {"rating": nn.Linear(1, 1), "click": nn.Linear(1, 1)}

    def scorer(name: str) -> Any:
        def score(candidates: CandidateBatch) -> Scores:
            items = towers(world.item_vectors)[candidates.items]
            own = candidates.with_encoded(Encoded(items))
            values = InnerProduct().score(world.batch("none").queries, own).values
            return Scores(heads[name](values[..., None])[..., 0])

        return score

    tasks = [
        (1.0, case.RatingMse(), world.batch("none"), scorer("rating")),
        (0.3, case.ClickSoftmax(), world.batch("batch"), scorer("click")),
    ]
    total = case.total(tasks)
    parts = [goal.loss(batch, score) for _, goal, batch, score in tasks]
    assert torch.allclose(total, parts[0] + 0.3 * parts[1])
    total.backward()
    assert towers.weight.grad is not None
    assert heads["rating"].weight.grad is not None
    assert heads["click"].weight.grad is not None


RANK = """
import runpy, sys, torch, torch.distributed as dist
case, store, rank = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=2)
case = type("Case", (), runpy.run_path(case))
from rankloom.protocols import Encoded
from rankloom.testing import make_world
world = make_world()
rows = torch.arange(4)[rank * 2:rank * 2 + 2]
whole = world.batch("none")
items = world.item_vectors.clone().requires_grad_()
from rankloom.protocols import TrainBatch
parts = (whole.targets, whole.values, whole.weights)
own = TrainBatch(whole.queries.select(rows), *(part[rows] for part in parts))
batch = case.gathered(own, Encoded(items[own.targets]))
queries = Encoded(world.query_vectors[:5][rows])
loss = case.loss(batch, queries, batch.candidates, batch.target_columns)
loss.backward()
torch.save((loss.detach(), batch.candidates.items, items.grad), store + f".{rank}")
"""


def test_two_processes_share_their_negatives(world: World, tmp_path: Path) -> None:
    store, case = tmp_path / "store", HERE / "case_two_devices.py"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", RANK, str(case), str(store)]
    ranks = [
        subprocess.Popen([*command, str(rank)], env=environment, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    problems = [rank.communicate(timeout=120)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], problems
    answers = [torch.load(f"{store}.{rank}") for rank in range(2)]
    targets = world.batch("none").targets[:4]
    assert all(torch.equal(answer[1], targets) for answer in answers)
    logits = world.query_vectors[:4] @ world.item_vectors[targets].T
    expected = nn.functional.cross_entropy(logits, torch.arange(4))
    assert torch.allclose((answers[0][0] + answers[1][0]) / 2, expected)
    # each rank holds the gradient of its own vectors, and of nobody else's
    assert not answers[0][2][targets[2:]].any()
    assert answers[0][2][targets[:2]].any()


def test_user_fields_join_the_history(world: World, sketch: Sketch) -> None:
    case = sketch("user_fields")
    age, fusion = case.Age(), case.Fused({"age": 2, "history": DIM}, DIM)
    features = age.collate(world.users.values("age"))
    queries = replace(world.queries, fields={"age": features})
    assert world.queries.encoded is not None
    history = Encoded(world.queries.encoded.vectors)
    tower = case.query_tower(queries, history, age, fusion)
    assert tower.encoded.vectors.shape == (6, DIM)
    hidden = Features({"age": features["age"] + (~features.present)[:, None]}, features.present)
    other = case.query_tower(replace(queries, fields={"age": hidden}), history, age, fusion)
    assert torch.equal(tower.encoded.vectors, other.encoded.vectors)  # user 2 has no age


def test_pairs_of_batches_have_the_regime_they_ask_for(world: World) -> None:
    batches: dict[str, TrainBatch] = {
        regime: world.batch(regime) for regime in ("catalog", "sampled", "batch", "none")
    }
    assert batches["none"].candidates is None
    for regime, batch in itertools.islice(batches.items(), 3):
        assert batch.candidates is not None
        assert (batch.candidates.log_q is not None) == (regime == "sampled")
