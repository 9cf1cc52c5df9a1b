"""``rankloom demo``: the whole job on the films that ship with the repository."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankloom.cli.options import Json
from rankloom.cli.show import console, emit_json, print_frame
from rankloom.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

    from rankloom.api import Pipeline

__all__ = ["demo", "science_fiction", "zero_shot_titles"]

TEXT = "space adventure with robots"
GENRE = "Sci-Fi"
USER = "42"
#: Three films of a new user, by MovieLens id.
HISTORY: Mapping[str, str] = {
    "260": "Star Wars: Episode IV (1977)",
    "1196": "Star Wars: Episode V (1980)",
    "1210": "Star Wars: Episode VI (1983)",
}
#: What somebody asks for who has heard of it.
WANTED = "a new Star Wars film with droids"
#: A film that is in no data set.
ADDED_ID = "rankloom-1"
ADDED_TITLE = "Star Wars: The Last Droid"
ADDED_YEAR = 2031
ADDED_GENRES = ("Action", "Adventure", "Sci-Fi")


def demo(
    config: Annotated[
        Path | None,
        typer.Option(
            help="Pipeline file; default examples/movies-hybrid.yaml.", show_default=False
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of MovieLens files instead of the file's.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Fit the example, print its table, and recommend."""
    started = time.perf_counter()
    file = config or example("movies-hybrid.yaml")
    overrides = [f"data.source.path={data.resolve()}"] if data else []
    from rankloom.api import Pipeline

    pipeline = Pipeline.from_config(file, overrides=overrides, base_dir=file.resolve().parent)
    pipeline.fit(progress=not json)
    report = pipeline.evaluate(progress=not json)
    if not json:
        console().print(pipeline.log.summary())
        report.print(console())
    answers = _answers(pipeline)
    seconds = time.perf_counter() - started
    if json:
        frames = {name: frame.to_dicts() for name, frame in answers.items()}
        emit_json(
            {
                "fit": pipeline.log.to_dict(),
                "evaluation": report.to_dict(),
                "answers": frames,
                "seconds": seconds,
            }
        )
    else:
        _print(answers, seconds)


def example(name: str) -> Path:
    """Return an example's path in this checkout.

    Raises:
        ConfigError: Rankloom was installed without its repository.
    """
    folders = [Path.cwd() / "examples", Path(__file__).resolve().parents[3] / "examples"]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(
        f"The demo's files (examples/{name} and its data) are part of the repository, not of the "
        f"installed package; looked in {folders[0]}. Run it in a clone, or give --config FILE and "
        f"--data FOLDER."
    )


def zero_shot_titles(pipeline: Pipeline, text: str, k: int) -> pl.DataFrame:
    """Return the ``k`` films whose texts are nearest to ``text``, without any training.

    Cosine between the pipeline's own text encoder's vectors of the query and of the films.
    """
    return pipeline.text_similarity(text, k).frame()


def science_fiction(frame: pl.DataFrame) -> int:
    """Return how many of the films shown are science fiction."""
    return int(frame["genres"].list.contains(GENRE).sum())


def added_film() -> pl.DataFrame:
    """Return the catalog row of the invented film."""
    import polars as pl

    return pl.DataFrame(
        {
            "id": [ADDED_ID],
            "title": [ADDED_TITLE],
            "year": [float(ADDED_YEAR)],
            "genres": [list(ADDED_GENRES)],
            "title_genres": [f"{ADDED_TITLE} ({ADDED_YEAR}). Genres: {', '.join(ADDED_GENRES)}"],
        }
    )


def _answers(pipeline: Pipeline) -> dict[str, pl.DataFrame]:
    history: list[Any] = list(HISTORY)
    answers = {
        "user": pipeline.recommend(USER).frame(),
        "history": pipeline.recommend(history=history).frame(),
        "text": pipeline.recommend(text=TEXT).frame(),
        "zero_shot": zero_shot_titles(pipeline, TEXT, 10),
    }
    pipeline.add_items(added_film())
    answers["added"] = pipeline.recommend(text=WANTED).frame()
    answers["added_history"] = pipeline.recommend(history=history, text=WANTED).frame()
    return answers


def _print(answers: dict[str, pl.DataFrame], seconds: float) -> None:
    out = console()
    shown = {name: _columns(frame) for name, frame in answers.items()}
    print_frame(f"for user {USER}", shown["user"], target=out)
    print_frame(f"for a new user after {', '.join(HISTORY.values())}", shown["history"], target=out)
    print_frame(f'for the text "{TEXT}"', shown["text"], target=out)
    out.print(
        f"science fiction among the ten: {science_fiction(answers['text'])}; zero-shot cosine "
        f"over the same texts: {science_fiction(answers['zero_shot'])}"
    )
    title = f'after "{ADDED_TITLE}" was added, for the text "{WANTED}"'
    print_frame(title, shown["added"], target=out)
    for who, name in (
        ("for that text", "added"),
        ("with the three films before it", "added_history"),
    ):
        rank = _rank(answers[name])
        where = f"at rank {rank}" if rank else "not among the ten"
        out.print(f"the film added after the fit, {who}: {where}")
    out.print(f"done in {seconds:.0f} s")


def _columns(frame: pl.DataFrame) -> pl.DataFrame:
    wanted = ("rank", "item", "title", "genres", "score")
    return frame.select([name for name in wanted if name in frame.columns])


def _rank(frame: pl.DataFrame) -> int:
    """Return the rank of the added film, 0 where it is not shown."""
    found = frame.filter(frame["item"] == ADDED_ID)
    return int(found["rank"][0]) if len(found) else 0
