"""``rankloom recommend`` and ``rankloom similar``: one answer on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankloom.cli.options import BaseDir, FittedDir, Json, TopK
from rankloom.cli.paths import bundle_of
from rankloom.cli.show import emit_json, note, print_frame
from rankloom.errors import QueryError

if TYPE_CHECKING:
    from rankloom.api import Pipeline

__all__ = ["recommend", "similar"]

_IDS = "ID,ID,..."


def recommend(
    run: FittedDir,
    user: Annotated[str | None, typer.Option(help="A user's id.", show_default=False)] = None,
    history: Annotated[
        str | None,
        typer.Option(
            metavar=_IDS, help="Items, oldest first, instead of the stored.", show_default=False
        ),
    ] = None,
    append_history: Annotated[
        str | None,
        typer.Option(metavar=_IDS, help="Items after the stored history.", show_default=False),
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="What is looked for, in words.", show_default=False)
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A field of the query (user.age=31); repeat for more.",
            show_default=False,
        ),
    ] = None,
    exclude: Annotated[
        str | None, typer.Option(metavar=_IDS, help="Items never to show.", show_default=False)
    ] = None,
    users: Annotated[
        str | None,
        typer.Option(help="'all' or ids: a file for many users, with --out.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="File of --users: .parquet, .csv or .json.", show_default=False),
    ] = None,
    k: TopK = 10,
    base_dir: BaseDir = None,
    json: Json = False,
) -> None:
    """Recommend for one query, or for many users into a file."""
    single = [user, history, append_history, text, field, exclude]
    if users is not None and any(value is not None for value in single):
        raise QueryError(
            "--users answers for stored users as they are; leave out --user, --history, "
            "--append-history, --text, --field and --exclude, or ask for one query at a time."
        )
    if out is not None and users is None:
        raise QueryError("--out belongs to --users. Write `--users all --out FILE`.")
    if users is not None:
        _check_out(out)
    elif all(value is None for value in (user, history, append_history, text)):
        raise QueryError(
            "Nobody to recommend for. Give --user ID, --history ID,ID, --text WORDS, or "
            "--users all --out FILE."
        )
    fields = _fields(field or [])
    pipeline = _load(run, base_dir)
    if users is not None:
        _recommend_many(pipeline, users, out, k, json)
        return
    slate = pipeline.recommend(
        user,
        history=_ids(history),
        append_history=_ids(append_history) or (),
        text=text,
        fields=fields or None,
        k=k,
        exclude=_ids(exclude) or (),
    )
    if json:
        emit_json(slate.to_dict())
        return
    print_frame("", slate.frame())
    if len(slate.frame()) < k:
        note(f"only {len(slate.frame())} of {k} asked for: nothing else is allowed for this query")


def similar(
    run: FittedDir,
    item: Annotated[str, typer.Argument(help="An item's id.", show_default=False)],
    k: TopK = 10,
    base_dir: BaseDir = None,
    json: Json = False,
) -> None:
    """Show the items nearest to an item."""
    slate = _load(run, base_dir).similar(item, k=k)
    if json:
        emit_json(slate.to_dict())
    else:
        print_frame(f"similar to {item}", slate.frame())


def _load(run: Path, base_dir: Path | None) -> Pipeline:
    bundle = bundle_of(run)
    from rankloom.api import Pipeline

    return Pipeline.load(bundle, base_dir)


def _ids(text: str | None) -> list[str] | None:
    """Return the ids of a comma-separated list; an empty text is an empty list."""
    if text is None:
        return None
    return [part.strip() for part in text.split(",") if part.strip()]


def _fields(pairs: list[str]) -> dict[str, Any]:
    import yaml

    fields: dict[str, Any] = {}
    for pair in pairs:
        name, found, value = pair.partition("=")
        if not found or not name:
            raise QueryError(f"--field {pair!r} is not of the form NAME=VALUE (user.age=31).")
        fields[name] = yaml.safe_load(value)
    return fields


_WRITERS = {".parquet": "write_parquet", ".csv": "write_csv", ".json": "write_json"}


def _check_out(out: Path | None) -> None:
    if out is None:
        raise QueryError("--users writes a file: add --out slates.parquet.")
    if out.suffix not in _WRITERS:
        raise QueryError(
            f"--out {out}: the ending {out.suffix!r} is unknown. Use one of {', '.join(_WRITERS)}."
        )


def _recommend_many(pipeline: Pipeline, users: str, out: Path | None, k: int, json: bool) -> None:
    assert out is not None
    chosen = None if users == "all" else _ids(users)
    frame = pipeline.recommend_all(chosen, k=k, progress=not json)
    out.parent.mkdir(parents=True, exist_ok=True)
    getattr(frame, _WRITERS[out.suffix])(out)
    if json:
        emit_json({"out": str(out), "rows": len(frame), "k": k})
    else:
        note(f"{len(frame)} rows in {out}")
