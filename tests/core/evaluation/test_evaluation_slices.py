"""Slices of a phase against loops over users, and the curves made of them."""

from __future__ import annotations

import json

import polars as pl
import pytest
import torch

from rankloom.data.dataset import Dataset, Phase
from rankloom.data.frames import table_of_ids
from rankloom.data.interactions import Interactions
from rankloom.errors import DataError
from rankloom.evaluation import EvaluationReport, RankingResult
from rankloom.evaluation.curves import curve_of, slice_of
from rankloom.evaluation.slices import by_item_count, cut_histories, fitted_positives, of_kind

from .test_evaluation_report import CARD, printed

N_USERS, N_ITEMS = 8, 15


def make(seed: int) -> tuple[Dataset, Phase, torch.Tensor]:
    """A log with ties in time, a phase of arbitrary rows, and the rows fitted on."""
    generator = torch.Generator().manual_seed(seed)

    def draw(high: int) -> torch.Tensor:
        return torch.randint(high, (120,), generator=generator)

    log = Interactions(draw(N_USERS), draw(N_ITEMS), draw(5).float(), draw(6), torch.arange(120))
    dataset = Dataset(
        table_of_ids("item", pl.Series([f"i{n}" for n in range(N_ITEMS)])),
        table_of_ids("user", pl.Series([f"u{n}" for n in range(N_USERS)])),
        log,
        log.values >= 2,
    )
    part = draw(3)
    rows = torch.arange(120)
    candidates = torch.rand(N_ITEMS, generator=generator) < 0.8
    phase = Phase(rows[part == 0], rows[part == 1], rows[part != 0], candidates)
    fitted = rows[(part == 1) & (log.items % 4 > 0)]
    return dataset, phase, fitted


def targets_of(dataset: Dataset, phase: Phase, user: int) -> list[int]:
    return [
        r for r in phase.targets.tolist()
        if bool(dataset.positive[r]) and int(dataset.interactions.users[r]) == user
    ]  # fmt: skip


def own(dataset: Dataset, rows: torch.Tensor, user: int) -> list[int]:
    return [r for r in rows.tolist() if int(dataset.interactions.users[r]) == user]


@pytest.mark.parametrize("seed", range(5))
def test_kinds_by_hand(seed: int) -> None:
    dataset, phase, fitted = make(seed)
    items = dataset.interactions.items.tolist()
    counts = [0] * N_ITEMS
    for row in fitted.tolist():
        counts[items[row]] += bool(dataset.positive[row])
    assert fitted_positives(dataset, fitted).tolist() == counts
    members = torch.tensor(counts) > 0
    part = of_kind(dataset, phase, members)
    for item in range(N_ITEMS):
        wanted = bool(phase.candidates[item]) and counts[item] > 0
        assert bool(part.candidates[item]) is wanted
    for user in range(N_USERS):
        judged = [r for r in targets_of(dataset, phase, user) if counts[items[r]]]
        assert own(dataset, part.targets, user) == judged
        if judged:
            assert own(dataset, part.history, user) == own(dataset, phase.history, user)
            assert own(dataset, part.excluded, user) == own(dataset, phase.excluded, user)


@pytest.mark.parametrize("seed", range(5))
def test_item_counts_by_hand(seed: int) -> None:
    dataset, phase, fitted = make(seed)
    items = dataset.interactions.items.tolist()
    counts = fitted_positives(dataset, fitted)
    numbers = [0, 1, 3]
    parts = by_item_count(dataset, phase, counts, numbers)
    for part, allowed in zip(parts, ([0], [1, 2], range(3, 999)), strict=True):
        assert torch.equal(part.candidates, phase.candidates)
        for user in range(N_USERS):
            every = targets_of(dataset, phase, user)
            judged = [r for r in every if int(counts[items[r]]) in allowed]
            assert own(dataset, part.targets, user) == judged
            if judged:
                hidden = own(dataset, phase.excluded, user) + [r for r in every if r not in judged]
                assert sorted(own(dataset, part.excluded, user)) == sorted(hidden)
                assert own(dataset, part.history, user) == own(dataset, phase.history, user)
    n = sum(len(part.targets) for part in parts)
    assert n == int(dataset.positive[phase.targets].sum())


@pytest.mark.parametrize("seed", range(5))
def test_cut_histories_by_hand(seed: int) -> None:
    dataset, phase, _ = make(seed)
    log = dataset.interactions
    numbers = [0, 1, 3]
    parts = cut_histories(dataset, phase, numbers)
    judged_users = set()
    for user in range(N_USERS):
        known = [r for r in own(dataset, phase.history, user) if bool(dataset.positive[r])]
        known.sort(key=lambda r: (int(log.times[r]), int(log.rows[r])))
        targets = targets_of(dataset, phase, user)
        judged = targets if len(known) >= 3 else []
        judged_users |= {user} if judged else set()
        for n, part in zip(numbers, parts, strict=True):
            assert own(dataset, part.targets, user) == judged
            assert own(dataset, part.history, user) == (known[:n] if judged else [])
            if judged:
                assert own(dataset, part.excluded, user) == own(dataset, phase.excluded, user)
    assert judged_users


def test_only_a_history_of_the_largest_length_counts() -> None:
    dataset, phase, _ = make(0)
    assert not len(cut_histories(dataset, phase, [0, 100])[0].targets)


def result(values: list[float]) -> RankingResult:
    column = torch.tensor(values, dtype=torch.float64)
    return RankingResult({"ndcg@10": column, "mrr@10": column / 2}, torch.arange(len(values)))


def report() -> EvaluationReport:
    rising = {0: result([0.1, 0.2, 0.3, 0.1]), 5: result([0.3, 0.3, 0.5, 0.4])}
    counted = {0: result([]), 2: result([0.5]), 3: result([0.1, 0.7])}
    return EvaluationReport(
        "films",
        CARD,
        slices=[slice_of("cold", "cold alone.", {"ease": result([0.0, 0.5])}, 200, 0)],
        curves=[
            curve_of("ease", "fold_in", "cut.", rising, "ndcg@10", 200, 0),
            curve_of("ease", "item_counts", "grouped.", counted, "ndcg@10", 200, 0),
        ],
    )


def test_curves_hold_means_intervals_and_steps() -> None:
    fold, few = report().curves
    assert [point.queries for point in fold.points] == [4, 4]
    interval = fold.points[1].metrics["ndcg@10"]
    assert interval.mean == pytest.approx(0.375)
    assert interval.low < interval.mean < interval.high
    assert fold.means("mrr@10") == pytest.approx({0: 0.0875, 5: 0.1875})
    (step,) = fold.steps
    assert step.difference == pytest.approx(0.2)
    assert step.verdict == "above"
    assert few.steps == []
    assert [point.label for point in few.points] == ["0 to 1", "2", "3 and more"]
    assert few.points[0].metrics == {}


def test_json_and_back_with_slices_and_curves() -> None:
    plain = json.loads(json.dumps(report().to_dict(), allow_nan=False))
    assert "results" not in plain["curves"][0]
    assert EvaluationReport.from_dict(plain) == report()
    del plain["curves"], plain["slices"]  # as an earlier version wrote it
    assert EvaluationReport.from_dict(plain).curves == []


def test_printing_and_html_show_every_part() -> None:
    for text in (printed(report()), report()._repr_html_()):
        for part in (
            "cold items",
            "ease, by known positives of the user",
            "0.3750 [",
            "ease, n = 5 against n = 0: ndcg@10 +0.2000",
            "ease, by positives of the item at the fit",
            "3 and more",
        ):
            assert part in text, part


def test_what_is_not_there_says_what_is() -> None:
    assert report().slice("cold").rows[0].n == 2
    assert report().curve("fold_in", "ease").kind == "fold_in"
    with pytest.raises(DataError, match="no slice 'warm' in this report; there are: cold"):
        report().slice("warm")
    with pytest.raises(DataError, match=r"fold_in of ease, item_counts of ease.*evaluation\.fold"):
        report().curve("fold_in", "markov")
