"""What an evaluation found, as a table, JSON, HTML or a data frame."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from rankloom.data.dataset import ProtocolCard
from rankloom.errors import DataError
from rankloom.evaluation.curves import Curve, Slice, read_curve, read_slice
from rankloom.evaluation.intervals import Comparison, Interval
from rankloom.evaluation.rendering import html, print_report, rich_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rankloom.evaluation.ranking import RankingResult

__all__ = ["EvaluationReport", "ReportRow"]


@dataclass(frozen=True)
class ReportRow:
    """One method.

    Attributes:
        name: Printed name.
        n: Number of queries judged.
        metrics: Means by name (``ndcg@10``, ``coverage@10``), the headline first.
        interval: 95 % interval of the headline metric.
        fit_seconds: Time of its fit.
        note: Anything a reader must know (``k = 200, recall 0.98``).
    """

    name: str
    n: int
    metrics: Mapping[str, float]
    interval: Interval | None = None
    fit_seconds: float | None = None
    note: str = ""


@dataclass(frozen=True)
class EvaluationReport:
    """Everything an evaluation found, with the protocol under which it was found.

    Attributes:
        name: Name of the pipeline.
        card: The protocol.
        rows: One a method.
        ratings: RMSE, MAE, n, unanswered; None where no rating was predicted.
        comparisons: Paired differences.
        data: Sizes (``{"users": 610, "items": 9742}``).
        headline: The metric of intervals and comparisons.
        warnings: Sentences printed below the table.
        baselines: Names of rows that must be beaten; other rows below the best of them are red.
        results: Each row's values query by query, to average seeds or compare further; not kept in
            JSON.
        slices: Warm and cold targets apart (``evaluation.slices``); the rows are all together.
        curves: By method, over the items' positives (``evaluation.item_counts``) or the users'
            known positives (``evaluation.fold_in``).
    """

    name: str
    card: ProtocolCard
    rows: list[ReportRow] = field(default_factory=list)
    ratings: Mapping[str, float] | None = None
    comparisons: list[Comparison] = field(default_factory=list)
    data: Mapping[str, Any] = field(default_factory=dict)
    headline: str = "ndcg@10"
    warnings: list[str] = field(default_factory=list)
    baselines: tuple[str, ...] = ()
    results: Mapping[str, RankingResult] = field(default_factory=dict, compare=False)
    slices: list[Slice] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)

    def __repr__(self) -> str:
        found = ", ".join(
            f"{r.name} {r.metrics.get(self.headline, math.nan):.4f}" for r in self.rows
        )
        return f"EvaluationReport({self.name!r}, {self.headline}: {found})"

    def metric_names(self) -> list[str]:
        """Return the metrics of all rows, the headline first."""
        names = dict.fromkeys(name for row in self.rows for name in row.metrics)
        return sorted(names, key=lambda name: name != self.headline)

    def below_baselines(self) -> set[str]:
        """Return the names of rows whose headline is below the best baseline's."""
        value = {row.name: row.metrics.get(self.headline, math.nan) for row in self.rows}
        bar = max((value[b] for b in self.baselines if b in value), default=-math.inf)
        return {name for name in value if name not in self.baselines and value[name] < bar}

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON holds it; a value that is not finite becomes None."""
        bare = replace(
            self,
            results={},
            slices=[replace(one, results={}) for one in self.slices],
            curves=[replace(one, results={}) for one in self.curves],
        )
        plain: dict[str, Any] = _jsonable(asdict(bare))
        for part in (plain, *plain["slices"], *plain["curves"]):
            del part["results"]
        return plain

    @staticmethod
    def from_dict(plain: Mapping[str, Any]) -> EvaluationReport:
        """Return the report that :meth:`to_dict` wrote."""
        rows = [
            ReportRow(
                **{
                    **row,
                    "metrics": {k: _number(v) for k, v in row["metrics"].items()},
                    "interval": None if row["interval"] is None else Interval(**row["interval"]),
                }
            )
            for row in plain["rows"]
        ]
        ratings = plain["ratings"]
        return EvaluationReport(
            plain["name"],
            ProtocolCard(**plain["card"]),
            rows,
            None if ratings is None else {k: _number(v) for k, v in ratings.items()},
            [Comparison(**comparison) for comparison in plain["comparisons"]],
            plain["data"],
            plain["headline"],
            list(plain["warnings"]),
            tuple(plain["baselines"]),
            # reports written by earlier versions have neither
            slices=[read_slice(one) for one in plain.get("slices", [])],
            curves=[read_curve(one) for one in plain.get("curves", [])],
        )

    def slice(self, name: str) -> Slice:
        """Return the slice ``warm`` or ``cold``.

        Raises:
            DataError: It was not judged.
        """
        for one in self.slices:
            if one.name == name:
                return one
        raise DataError(
            f"There is no slice {name!r} in this report"
            f"{_there(one.name for one in self.slices)}. Name it in 'evaluation.slices'; a slice "
            f"without targets is left out, and a warning says so."
        )

    def curve(self, kind: str, name: str) -> Curve:
        """Return the curve ``item_counts`` or ``fold_in`` of a method.

        Raises:
            DataError: It was not judged.
        """
        for one in self.curves:
            if (one.kind, one.name) == (kind, name):
                return one
        raise DataError(
            f"There is no curve {kind!r} of {name!r} in this report"
            f"{_there(f'{one.kind} of {one.name}' for one in self.curves)}. Give the numbers n "
            f"in 'evaluation.{kind}'."
        )

    def frame(self) -> pl.DataFrame:
        """Return one row a method; columns are name, n, the metrics, low, high, seconds, note."""
        columns: dict[str, pl.Series] = {
            "name": pl.Series([row.name for row in self.rows], dtype=pl.String),
            "n": pl.Series([row.n for row in self.rows], dtype=pl.Int64),
        }
        floats: dict[str, list[float | None]] = {
            name: [row.metrics.get(name) for row in self.rows] for name in self.metric_names()
        }
        floats["low"] = [row.interval.low if row.interval else None for row in self.rows]
        floats["high"] = [row.interval.high if row.interval else None for row in self.rows]
        floats["fit_seconds"] = [row.fit_seconds for row in self.rows]
        for name, values in floats.items():
            columns[name] = pl.Series(values, dtype=pl.Float64)
        columns["note"] = pl.Series([row.note for row in self.rows], dtype=pl.String)
        return pl.DataFrame(columns)

    def table(self) -> Table:
        """Return the rows as a rich table."""
        return rich_table(self)

    def print(self, console: Console | None = None) -> None:
        """Print the table, the protocol, the comparisons and the warnings."""
        print_report(self, console)

    def _repr_html_(self) -> str:
        return html(self)


def _there(names: Iterable[str]) -> str:
    listed = ", ".join(names)
    return f"; there are: {listed}" if listed else ""


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
