"""The scorer ``blend``: standardisation, renormalised weights, calibration, passing on."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from rankloom.protocols import (
    Build,
    CandidateBatch,
    History,
    QueryBatch,
    RaggedIndices,
    Scorer,
    Scores,
    State,
    ValidationBlock,
    ValidationData,
)
from rankloom_plugins.scorers.blend import Blend
from rankloom_plugins.scorers.calibration import collect, mean_ndcg
from rankloom_plugins.scorers.plugin import BlendConfig
from rankloom_plugins.scorers.standardise import combine, standardise

NAN = float("nan")


class Fixed:
    """Scores known users' rows of a table; remembers what it was told."""

    def __init__(self, table: Tensor) -> None:
        self.table = table
        self.told: list[tuple[str, Any]] = []

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        return Scores(candidates.gather(self.table[queries.users]))

    def fit(self, train: Any) -> None:
        self.told.append(("fit", train))

    def prepare(self, train: Any) -> None:
        self.told.append(("prepare", train))

    def calibrate(self, validation: Any) -> None:
        self.told.append(("calibrate", validation))

    def extend(self, n_items: int) -> None:
        self.told.append(("extend", n_items))

    def export_state(self) -> State:
        return State({"table": self.table}, {"rows": len(self.table)})

    def import_state(self, state: State) -> None:
        assert state.meta["rows"] == len(state.tensors["table"])
        self.table = state.tensors["table"]


class Learned(nn.Module):
    """A part with parameters and no state of its own."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n))

    def score(self, queries: QueryBatch, candidates: CandidateBatch) -> Scores:
        return Scores(candidates.gather(self.weight.expand(len(queries), -1)))


def blend(parts: list[Any], **options: Any) -> Blend:
    todo = iter(parts)
    config = BlendConfig.model_validate({"parts": ["popularity"] * len(parts), **options})
    return Blend(config, Build(child=lambda kind, _: next(todo)))


def queries(n: int) -> QueryBatch:
    none = RaggedIndices.from_lists([[]] * n)
    zeros = torch.zeros(n, dtype=torch.long)
    return QueryBatch(torch.arange(n), History.empty(n), none, zeros)


def random_table(seed: int, q: int = 40, n: int = 30) -> Tensor:
    return torch.randn(q, n, generator=torch.Generator().manual_seed(seed))


def validation(targets: list[list[int]], n: int, *, blocks: int = 2, own: bool = False) -> Any:
    """Queries in ``blocks`` blocks, item 0 masked, ``own`` shuffled candidates or shared ones."""
    wanted, whole = RaggedIndices.from_lists(targets), queries(len(targets))
    generator = torch.Generator().manual_seed(3)

    def make() -> Any:
        for rows in torch.arange(len(targets)).chunk(blocks):
            items = torch.arange(n)
            if own:
                items = torch.stack([torch.randperm(n, generator=generator) for _ in rows])
            mask = (items != 0).expand(len(rows), -1)
            part = wanted.select(rows)
            values = torch.ones(len(part.values))
            yield ValidationBlock(whole.select(rows), CandidateBatch(items, mask), part, values)

    return ValidationData(make, torch.Generator().manual_seed(0), len(targets))


def brute_ndcg(scores: np.ndarray, targets: list[list[int]], k: int = 10) -> float:
    total = 0.0
    for row, wanted in zip(scores, targets, strict=True):
        items = [i for i in range(1, len(row)) if not np.isnan(row[i])]
        ranked = sorted(items, key=lambda i: -row[i])[:k]
        got = sum(1 / np.log2(r + 2) for r, item in enumerate(ranked) if item in wanted)
        total += got / sum(1 / np.log2(r + 2) for r in range(min(k, len(wanted))))
    return total / len(targets)


@given(
    st.lists(st.floats(-1e3, 1e3, width=32) | st.just(NAN), min_size=1, max_size=8),
    st.integers(0, 255),
)
@settings(max_examples=60, deadline=None)
def test_standardise_against_numpy(values: list[float], bits: int) -> None:
    row = np.array(values)
    allowed = np.array([bool(bits >> i & 1) for i in range(len(row))])
    counted = row[allowed & ~np.isnan(row)]
    mean, std = (counted.mean(), counted.std()) if len(counted) else (0.0, 0.0)
    z = standardise(torch.tensor([values]), torch.from_numpy(allowed[None]))[0].double().numpy()
    assert (np.isnan(z) == np.isnan(row)).all()
    if std > 1e-2 * (1 + abs(mean)):
        np.testing.assert_allclose(z, (row - mean) / std, rtol=1e-3, atol=1e-3)
    elif np.ptp(counted) == 0 if len(counted) else False:
        np.testing.assert_array_equal(z[~np.isnan(row)], 0.0)


def test_masked_candidates_do_not_count_in_the_standardisation() -> None:
    values = torch.tensor([[1.0, 3.0, 1000.0, NAN]])
    allowed = torch.tensor([[True, True, False, True]])
    z = standardise(values, allowed)
    torch.testing.assert_close(z[0, :2], torch.tensor([-1.0, 1.0]))
    assert z[0, 3].isnan()


def test_infinite_scores_are_unknown() -> None:
    z = standardise(torch.tensor([[1.0, -torch.inf, 3.0]]), torch.ones(1, 3, dtype=torch.bool))
    assert z.isnan().tolist() == [[False, True, False]]


def test_weights_renormalise_where_a_part_is_nan() -> None:
    z = torch.tensor([[[1.0, NAN, 1.0, NAN]], [[2.0, 3.0, NAN, NAN]]])
    mixed = combine(z, torch.tensor([0.25, 0.75]))
    expected = torch.tensor([[1.75, 3.0, 1.0, NAN]])
    torch.testing.assert_close(mixed, expected, equal_nan=True)
    # Where every part that knows the entry weighs nothing, it still gets a score.
    mixed = combine(z, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(mixed, torch.tensor([[1.0, 3.0, 1.0, NAN]]), equal_nan=True)


def test_a_blend_does_not_see_scale_and_offset_of_its_parts() -> None:
    first, second = random_table(1), random_table(2)
    ask = (queries(40), CandidateBatch(torch.arange(30)))
    plain = blend([Fixed(first), Fixed(second)]).score(*ask).values
    moved = blend([Fixed(first * 100 + 7), Fixed(second * 0.01 - 3)]).score(*ask).values
    torch.testing.assert_close(plain, moved, rtol=1e-3, atol=1e-3)


def test_given_weights_are_normalised_and_kept() -> None:
    parts = [Fixed(random_table(1)), Fixed(random_table(2))]
    scorer = blend(parts, weights=[3.0, 1.0])
    scorer.calibrate(validation([[1]] * 40, 30))
    assert scorer.weights.tolist() == [0.75, 0.25]


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1.0], "1 numbers for 2 parts"), ([-1.0, 2.0], "negative"), ([0.0, 0.0], "above 0")],
)
def test_wrong_weights(weights: list[float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BlendConfig.model_validate({"parts": ["ease", "markov"], "weights": weights})


@pytest.mark.parametrize("own", [False, True])
def test_validation_ndcg_against_brute_force(own: bool) -> None:
    table = random_table(5)
    table[:, 5] = NAN
    targets = [[1 + i % 29, 1 + (i * 7) % 29] if i % 2 else [i % 30] for i in range(40)]
    targets = [sorted(set(row)) for row in targets]
    scorer = blend([Fixed(table)])
    judged = collect(scorer._standardised, validation(targets, 30, own=own), 100)
    expected = brute_ndcg(table.numpy(), targets)
    assert mean_ndcg(judged, torch.ones(1), 10) == pytest.approx(expected, abs=1e-6)


def noisy_parts(
    noise: list[float], q: int = 40, n: int = 30
) -> tuple[list[Fixed], list[list[int]]]:
    """Parts that see a common truth through noise of their own; targets are its best items."""
    truth = random_table(11, q, n)
    truth[:, 0] = -9.0
    targets = truth.topk(2, dim=1).indices.tolist()
    parts = [Fixed(truth + s * random_table(20 + i, q, n)) for i, s in enumerate(noise)]
    return parts, targets


@pytest.mark.parametrize("noise", [[1.0, 1.0], [0.5, 4.0], [1.0, 1.5, 2.0], [0.1, 9.0, 9.0, 9.0]])
def test_calibration_is_never_worse_than_a_part_or_the_mean(noise: list[float]) -> None:
    parts, targets = noisy_parts(noise)
    scorer = blend(parts)
    ask = (queries(40), CandidateBatch(torch.arange(30), torch.arange(30).ne(0).expand(40, -1)))
    alone = [brute_ndcg(part.table.numpy(), targets) for part in parts]
    mean = brute_ndcg(scorer.score(*ask).values.numpy(), targets)
    scorer.calibrate(validation(targets, 30))
    mixed = brute_ndcg(scorer.score(*ask).values.numpy(), targets)
    assert mixed >= max(*alone, mean) - 1e-6
    assert float(scorer.weights.sum()) == pytest.approx(1.0)
    assert float(scorer.weights.min()) >= 0.0


def test_calibration_comes_near_an_exhaustive_search() -> None:
    parts, targets = noisy_parts([1.0, 1.5, 2.0])
    scorer = blend(parts)
    judged = collect(scorer._standardised, validation(targets, 30), 100)
    steps = np.linspace(0, 1, 21)
    grid = (w for w in itertools.product(steps, steps, steps) if abs(sum(w) - 1) < 1e-9)
    best = max(mean_ndcg(judged, torch.tensor(w), 10) for w in grid)
    scorer.calibrate(validation(targets, 30))
    assert mean_ndcg(judged, scorer.weights, 10) >= best - 0.01


def test_calibration_is_deterministic_and_subsamples() -> None:
    parts, targets = noisy_parts([1.0, 1.5])
    found = []
    for _ in range(2):
        scorer = blend(parts, max_queries=15)
        data = validation(targets, 30, own=True)
        judged = collect(scorer._standardised, data, 15)
        assert sum(len(block) for block in judged) == 15
        scorer.calibrate(validation(targets, 30))
        found.append(scorer.weights.tolist())
    assert found[0] == found[1]


def test_empty_validation_keeps_equal_weights() -> None:
    scorer = blend([Fixed(random_table(1)), Fixed(random_table(2))])
    scorer.calibrate(ValidationData(lambda: iter([]), torch.Generator(), 0))
    assert scorer.weights.tolist() == [0.5, 0.5]


def test_everything_is_passed_on_to_the_parts() -> None:
    part = Fixed(random_table(1))
    inner = blend([part])
    scorer = blend([inner, Learned(30)])
    scorer.prepare("train")  # type: ignore[arg-type]
    scorer.fit("train")  # type: ignore[arg-type]
    scorer.calibrate(validation([[1]] * 40, 30))
    scorer.extend(50)
    assert [name for name, _ in part.told] == ["prepare", "fit", "calibrate", "extend"]
    assert part.told[-1] == ("extend", 50)
    assert scorer.children[0] is inner
    assert isinstance(scorer, Scorer)


def test_state_of_nested_parts_round_trips() -> None:
    def make(seed: int, weights: list[float] | None) -> Blend:
        torch.manual_seed(seed)
        inner = blend([Fixed(random_table(seed)), Learned(30)], weights=weights)
        return blend([Fixed(random_table(seed + 50)), inner], weights=weights)

    first, second = make(1, [0.2, 0.8]), make(2, None)
    second.import_state(first.export_state())
    ask = (queries(40), CandidateBatch(torch.arange(30)))
    with torch.no_grad():
        expected, got = first.score(*ask).values, second.score(*ask).values
    torch.testing.assert_close(got, expected)


def test_a_part_that_validation_cannot_judge_keeps_its_share() -> None:
    parts, targets = noisy_parts([0.5, 4.0])
    silent = Fixed(torch.full_like(parts[0].table, NAN))
    both, three = blend(parts), blend([parts[0], silent, parts[1]])
    both.calibrate(validation(targets, 30))
    three.calibrate(validation(targets, 30))
    assert float(three.weights[1]) == pytest.approx(1 / 3)
    torch.testing.assert_close(three.weights[[0, 2]], both.weights * 2 / 3)


def test_only_silent_parts_keep_their_shares() -> None:
    silent = torch.full((40, 30), NAN)
    scorer = blend([Fixed(silent), Fixed(silent)])
    scorer.calibrate(validation(noisy_parts([1.0])[1], 30))
    assert scorer.weights.tolist() == [0.5, 0.5]


def test_given_weights_are_shares_of_what_validation_cannot_judge() -> None:
    parts, targets = noisy_parts([0.5, 4.0])
    silent = Fixed(torch.full_like(parts[0].table, NAN))
    both = blend(parts)
    three = blend([*parts, silent], weights=[1, 1, 2], calibrate=True)
    both.calibrate(validation(targets, 30))
    three.calibrate(validation(targets, 30))
    torch.testing.assert_close(three.weights, torch.tensor([*(both.weights / 2), 0.5]))
