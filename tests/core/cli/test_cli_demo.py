"""The demo, on a cut of its own data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .cli_running import answer, invoke


def test_demo_answers_everything_it_promises(small_checkout: Callable[[int], Path]) -> None:
    folder = small_checkout(4)  # films that 4 of the 60 rated
    found = answer("demo")
    rows = {row["name"]: row for row in found["evaluation"]["rows"]}
    assert set(rows) == {"popularity", "ease", "markov", "id-only", "text-only", "hybrid"}
    for row in rows.values():
        assert row["n"] > 0
        assert row["interval"] is not None
    answers = found["answers"]
    assert all(len(answers[name]) == 10 for name in ("user", "history", "text", "zero_shot"))
    assert answers["added"][0]["item"] == "rankloom-1"
    assert {"title", "genres", "score"} <= answers["text"][0].keys()
    assert sum(found["fit"]["values_encoded"].values()) > 0
    shown = invoke("demo").stdout
    assert "values newly encoded by frozen encoders: 0" in shown  # the second run
    assert "science fiction among the ten" in shown
    assert "the film added after the fit, for that text: at rank 1" in shown
    assert list(folder.glob("examples/.rankloom/cache/**/*"))
