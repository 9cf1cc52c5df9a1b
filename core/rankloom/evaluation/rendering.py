"""How a report looks in a terminal and in a notebook."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from rankloom.evaluation.rendering_parts import parts_of

if TYPE_CHECKING:
    from rankloom.data.dataset import ProtocolCard
    from rankloom.evaluation.report import EvaluationReport, ReportRow

__all__ = ["html", "print_report", "rich_table"]

#: Width from which on a note is broken into lines.
_NOTE = 24


def rich_table(report: EvaluationReport) -> Table:
    """Return the rows of a report as a rich table."""
    table = Table(title=report.name, title_justify="left")
    rows = [_cells(report, row) for row in report.rows]
    for position, name in enumerate(_header(report)):
        note = name == "note"
        widest = max(len(cells[position]) for cells in [_header(report), *rows])
        table.add_column(
            name,
            justify="left" if position == 0 or note else "right",
            no_wrap=not note,
            min_width=min(widest, _NOTE) if note else widest,
        )
    below = report.below_baselines()
    for row, cells in zip(report.rows, rows, strict=True):
        table.add_row(*map(Text, cells), style="red" if row.name in below else None)
    return table


def print_report(report: EvaluationReport, console: Console | None = None) -> None:
    """Print the table, the protocol, the comparisons and the warnings."""
    console = console or Console()
    if report.rows:
        _print_table(console, rich_table(report))
    for part in parts_of(report):
        console.print(Text(part.title, style="italic"))
        _print_table(console, part.table())
        console.print(Text(f"  {part.rule}"))
        for line in part.lines:
            console.print(Text(f"  {line}"))
    for label, text in _facts(report).items():
        # Text, not markup: a name in brackets must not be taken for a style.
        console.print(Text.assemble((f"{label}: ", "bold"), text))
    for comparison in report.comparisons:
        console.print(Text(f"  {comparison.sentence()}"))
    for warning in report.warnings:
        console.print(Text(f"! {warning}", style="yellow"))


def _print_table(console: Console, table: Table) -> None:
    # Numbers that a narrow console would cut short are no numbers: rather let lines wrap.
    # (print's own width is bounded by the console's; the table's is not.)
    size = Measurement.get(console, console.options.update(max_width=10_000), table)
    table.width = max(size.minimum, min(size.maximum, console.width))
    console.print(table, crop=False)


def html(report: EvaluationReport) -> str:
    """Return the report as HTML; every text in it is escaped."""
    below = report.below_baselines()
    head = "".join(f"<th>{escape(name)}</th>" for name in _header(report))
    body = "".join(
        ('<tr style="color:#b00">' if row.name in below else "<tr>")
        + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(report, row))
        + "</tr>"
        for row in report.rows
    )
    facts = "".join(
        f"<li><b>{escape(label)}</b>: {escape(text)}</li>" for label, text in _facts(report).items()
    )
    lines = [*(c.sentence() for c in report.comparisons), *report.warnings]
    more = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return (
        f"<h4>{escape(report.name)}</h4><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>{''.join(part.html() for part in parts_of(report))}"
        f"<ul>{facts}{more}</ul>"
    )


def _has_notes(report: EvaluationReport) -> bool:
    return any(row.note for row in report.rows)


def _header(report: EvaluationReport) -> list[str]:
    names = ["", "n", *report.metric_names()]
    if any(row.interval for row in report.rows):
        names.insert(3, "95 % interval")
    if any(row.fit_seconds is not None for row in report.rows):
        names.append("fit s")
    if _has_notes(report):
        names.append("note")
    return names


def _cells(report: EvaluationReport, row: ReportRow) -> list[str]:
    interval = row.interval
    known = {
        "": row.name,
        "n": f"{row.n:,}",
        "95 % interval": f"{interval.low:.4f} – {interval.high:.4f}" if interval else "–",
        "fit s": "–" if row.fit_seconds is None else f"{row.fit_seconds:.1f}",
        "note": row.note,
    } | {name: _value(row.metrics.get(name, math.nan)) for name in report.metric_names()}
    return [known[name] for name in _header(report)]


def _value(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _facts(report: EvaluationReport) -> dict[str, str]:
    facts = _protocol(report.card)
    if report.data:
        facts["data"] = _listed(report.data)
    if report.ratings is not None:
        facts["ratings"] = _listed(report.ratings)
    below = report.below_baselines()
    if below:
        named = ", ".join(row.name for row in report.rows if row.name in below)
        best = ", ".join(report.baselines)
        facts["in red"] = f"{named}; {report.headline} is below the best of {best}"
    if report.comparisons:
        facts["paired differences"] = "95 % bootstrap over users"
    return facts


def _protocol(card: ProtocolCard) -> dict[str, str]:
    return {
        "protocol": card.name,
        "fitted on": card.fitted_on,
        "history at test time": card.history,
        "excluded from the ranking": card.excluded,
        "ranked items": card.candidates,
        "a positive is": card.positives,
        "request time": "used" if card.request_time else "not used",
    }


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in values.items())


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
