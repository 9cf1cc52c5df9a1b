"""Reports: what they say and that every form says the same."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import pytest
from rich.console import Console

from rankloom.data.dataset import ProtocolCard
from rankloom.evaluation import Comparison, EvaluationReport, Interval, ReportRow

CARD = ProtocolCard(
    name="leave-last-out",
    fitted_on="the training rows",
    history="training and validation rows",
    excluded="every item of the history",
    candidates="all 9,742 items",
    positives="ratings of 4 or more",
)


def report() -> EvaluationReport:
    return EvaluationReport(
        "films",
        CARD,
        [
            ReportRow(
                "ease", 610, {"mrr@10": 0.05, "ndcg@10": 0.07}, Interval(0.07, 0.06, 0.08), 1.25
            ),
            ReportRow(
                "[red]text", 610, {"ndcg@10": 0.04, "mrr@10": math.nan}, note="<b>frozen</b>"
            ),
        ],
        {"rmse": 0.91, "n": 1000},
        [Comparison(-0.03, -0.04, -0.02, 610, "worse", "text", "ease", "ndcg@10")],
        {"users": 610, "items": 9742},
        warnings=["markov is not in the table."],
        baselines=("ease",),
    )


def printed(found: EvaluationReport, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width)
    found.print(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_printing_shows_the_protocol_and_every_number() -> None:
    text = printed(report())
    for part in (
        "fitted on: the training rows",
        "history at test time: training and validation rows",
        "excluded from the ranking: every item of the history",
        "ranked items: all 9,742 items",
        "a positive is: ratings of 4 or more",
        "request time: not used",
        "items 9,742",
        "rmse 0.9100",
        "0.0600 – 0.0800",
        "[red]text",
        "text against ease: ndcg@10 -0.0300 [-0.0400, -0.0200], n = 610: worse",
        "markov is not in the table.",
        "in red: [red]text; ndcg@10 is below the best of ease",
    ):
        assert part in text
    assert text.index("ndcg@10") < text.index("mrr@10")


@pytest.mark.parametrize("note", ["", "k = 200, recall 0.98 of what the scorer alone finds"])
def test_a_narrow_console_cuts_no_number(note: str) -> None:
    rows = [replace(row, note=note) for row in report().rows]
    text = printed(replace(report(), rows=rows), width=30)
    assert "…" not in text
    assert all(part in text for part in ("0.0600 – 0.0800", "0.0400", "[red]text"))


def test_json_and_back() -> None:
    plain = json.loads(json.dumps(report().to_dict(), allow_nan=False))
    assert plain["rows"][1]["metrics"]["mrr@10"] is None
    again = EvaluationReport.from_dict(plain)
    assert again.to_dict() == report().to_dict()
    assert again.comparisons == report().comparisons
    assert math.isnan(again.rows[1].metrics["mrr@10"])


def test_html_is_escaped() -> None:
    html = report()._repr_html_()
    assert "&lt;b&gt;frozen&lt;/b&gt;" in html
    assert "<b>frozen" not in html
    assert "leave-last-out" in html
    assert html.count("<tr") == 3


def test_frame_has_a_row_a_method() -> None:
    frame = report().frame()
    assert frame.columns == [
        "name", "n", "ndcg@10", "mrr@10", "low", "high", "fit_seconds", "note",
    ]  # fmt: skip
    assert frame["low"].to_list() == [0.06, None]
    assert frame["ndcg@10"].to_list() == [0.07, 0.04]


def test_rows_below_the_baselines_are_named() -> None:
    assert report().below_baselines() == {"[red]text"}
    assert "ease 0.0700" in repr(report())


def test_ratings_alone() -> None:
    found = EvaluationReport("ratings", CARD, ratings={"rmse": 0.9})
    text = printed(found)
    assert "rmse 0.9000" in text
    assert found.frame().height == 0
    assert EvaluationReport.from_dict(found.to_dict()) == found
