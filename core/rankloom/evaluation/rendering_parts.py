"""How the slices and curves of a report look: tables of means with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rankloom.evaluation.curves import Curve, Slice
    from rankloom.evaluation.intervals import Interval
    from rankloom.evaluation.report import EvaluationReport

__all__ = ["Part", "parts_of"]

_TITLES = {
    "item_counts": "by positives of the item at the fit",
    "fold_in": "by known positives of the user",
}


@dataclass(frozen=True)
class Part:
    """A table of a report beside the main one.

    Attributes:
        title: Printed above.
        header: Names of the columns.
        cells: Rows of cells.
        rule: What was judged, in a sentence.
        lines: Printed below.
    """

    title: str
    header: list[str]
    cells: list[list[str]]
    rule: str
    lines: list[str]

    def table(self) -> Table:
        """Return it as a rich table."""
        table = Table()
        for position, name in enumerate(self.header):
            widest = max(len(row[position]) for row in [self.header, *self.cells])
            side: JustifyMethod = "left" if position == 0 else "right"
            table.add_column(name, justify=side, no_wrap=True, min_width=widest)
        for row in self.cells:
            table.add_row(*map(Text, row))
        return table

    def html(self) -> str:
        """Return it as HTML; every text in it is escaped."""
        head = "".join(f"<th>{escape(name)}</th>" for name in self.header)
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self.cells
        )
        lines = "".join(f"<li>{escape(line)}</li>" for line in [self.rule, *self.lines])
        return (
            f"<h5>{escape(self.title)}</h5><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table><ul>{lines}</ul>"
        )


def parts_of(report: EvaluationReport) -> list[Part]:
    """Return the report's slices, then its curves."""
    return [
        *(_slice(one, report.headline) for one in report.slices),
        *(_curve(one, report.headline) for one in report.curves),
    ]


def _slice(one: Slice, headline: str) -> Part:
    measured = _measured([row.metrics for row in one.rows], headline)
    cells = [[row.name, f"{row.n:,}", *_intervals(row.metrics, measured)] for row in one.rows]
    return Part(f"{one.name} items", ["", "n", *measured], cells, one.rule, [])


def _curve(curve: Curve, headline: str) -> Part:
    measured = _measured([point.metrics for point in curve.points], headline)
    cells = [
        [point.label, f"{point.queries:,}", *_intervals(point.metrics, measured)]
        for point in curve.points
    ]
    title = f"{curve.name}, {_TITLES[curve.kind]}"
    lines = [step.sentence() for step in curve.steps]
    return Part(title, ["n", "users", *measured], cells, curve.rule, lines)


def _measured(metrics: Sequence[Mapping[str, Interval]], headline: str) -> list[str]:
    names = dict.fromkeys(name for found in metrics for name in found)
    return sorted(names, key=lambda name: name != headline)


def _intervals(metrics: Mapping[str, Interval], names: list[str]) -> list[str]:
    found = [metrics.get(name) for name in names]
    return ["–" if i is None else f"{i.mean:.4f} [{i.low:.4f}, {i.high:.4f}]" for i in found]
