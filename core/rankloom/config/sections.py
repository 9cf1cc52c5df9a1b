"""The sections ``data:`` and ``evaluation:`` of a pipeline file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from rankloom.config.base import Section
from rankloom.config.refs import MetricRef, ScorerRef, SourceRef, SplitRef

__all__ = ["DataConfig", "EvaluationConfig", "PositiveConfig"]


class PositiveConfig(Section):
    """Which interactions count as positive: targets, universe, and what rankers learn from."""

    min_value: float | None = None
    """Least value (rating, play time) of a positive; default: every interaction is one."""


class DataConfig(Section):
    """Where data comes from and how it is divided."""

    source: SourceRef | None = None
    """Where the data is; may be left out where ``fit`` is given data frames."""
    positive: PositiveConfig = PositiveConfig()
    """Which interactions count as positive."""
    split: SplitRef = Field(default="leave_last_out")  # type: ignore[assignment]
    """How the data is divided into training, validation and test."""
    history: Literal["before", "others"] | None = None
    """What a query may see: ``before`` (strictly earlier interactions) or ``others`` (all other
    training rows, the target removed); default: ``others`` for splits without a time order and for
    ratings, else ``before``."""
    k_core: int = Field(default=0, ge=0)
    """Keep only users and items with at least this many positives, repeatedly; 0: keep all."""
    duplicates: Literal["error", "first", "last", "keep"] = "last"
    """Several interactions of one user with one item: refuse them, keep the first or the last one
    (the rest is counted and printed), or keep all."""


class EvaluationConfig(Section):
    """How the pipeline is judged."""

    k: list[Annotated[int, Field(ge=1)]] = Field(default=[10], min_length=1)
    """Lengths of the slates that are judged."""
    metrics: list[MetricRef] = Field(
        default=["ndcg", "recall", "mrr", "hit_rate"],  # type: ignore[list-item]
        min_length=1,
    )
    """The measures, in the order of the table's columns."""
    compare: dict[str, ScorerRef] = Field(default_factory=dict)
    """Further rows of the table: name and scorer."""
    baselines: bool = True
    """Put popularity, EASE and Markov into the table."""
    block_size: int = Field(default=512, ge=1)
    """Queries that are scored together; memory grows with it, results do not depend on it."""
    resamples: int = Field(default=10_000, ge=1)
    """Bootstrap resamples of the intervals."""
    slices: list[Literal["warm", "cold"]] | None = None
    """Judge these targets apart, each among candidates of its kind alone (a warm item has a
    positive among the rows fitted on); default: both where each are 5 % of the targets or more;
    ``[]``: none."""
    item_counts: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list)
    """Few-shot curve, e.g. ``[0, 1, 2, 5, 10]``: targets by how many positives their item has among
    the rows fitted on, from each number up to below the next; the last is open."""
    fold_in: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list)
    """Fold-in curve, e.g. ``[0, 1, 3, 5, 10]``: histories cut to their first n positives, with the
    same users, targets and candidates for every n."""

    @field_validator("slices")
    @classmethod
    def _once(cls, kinds: list[str] | None) -> list[str] | None:
        if kinds is not None and len(set(kinds)) < len(kinds):
            raise ValueError(f"name each slice once, not {kinds}")
        return kinds

    @field_validator("item_counts", "fold_in")
    @classmethod
    def _ascending(cls, numbers: list[int]) -> list[int]:
        if numbers != sorted(set(numbers)):
            raise ValueError(f"write the numbers in ascending order, each once, not {numbers}")
        return numbers
