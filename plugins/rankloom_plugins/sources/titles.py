"""MovieLens titles: ``"Matrix, The (1999)"`` to ``"The Matrix"`` and 1999."""

from __future__ import annotations

import polars as pl

__all__ = ["movie_fields"]

_YEAR = r"\s*\((\d{4})(?:\s*[-–]\s*\d{0,4})?\)\s*$"
_ARTICLES = r"The|A|An|Le|La|Les|Un|Une|Il|Lo|Gli|El|Los|Las|Una|Der|Die|Das|Den|Det|De|Het|O|Os|As"


def movie_fields(raw: pl.DataFrame, *, text: bool) -> pl.DataFrame:
    """Return the table with ``title`` cleaned, ``year`` taken out of it, and ``title_genres``.

    Args:
        raw: With ``title`` (text) and ``genres`` (list of texts, null where there are none); a
            ``released`` column (``01-Jan-1995``), where there is one, gives years that titles lack.
        text: Add ``title_genres``.
    """
    year = pl.col("title").str.extract(_YEAR, 1)
    if "released" in raw.columns:
        year = pl.coalesce(year, pl.col("released").str.extract(r"(\d{4})$", 1))
    bare = pl.col("title").str.replace(_YEAR, "")
    films = raw.with_columns(year=year, title=_article_first(bare))
    if text:
        films = films.with_columns(title_genres=_sentence())
    return films.with_columns(pl.col("year").cast(pl.Float64)).drop("released", strict=False)


def _article_first(title: pl.Expr) -> pl.Expr:
    """Move the article of a title, and of its other names in brackets, to the front."""
    for pattern, new in (
        (rf"^([^(]+), ({_ARTICLES})(\s*\(.*)?$", "${2} ${1}${3}"),
        (r"^([^(]+), (L')(\s*\(.*)?$", "${2}${1}${3}"),
    ):
        title = title.str.replace(pattern, new)
    for pattern, new in (
        (rf"\((a\.k\.a\. )?([^()]+), ({_ARTICLES})\)", "(${1}${3} ${2})"),
        (r"\((a\.k\.a\. )?([^()]+), (L')\)", "(${1}${3}${2})"),
    ):
        title = title.str.replace_all(pattern, new)
    return title


def _sentence() -> pl.Expr:
    """``Title (year). Genres: a, b``, without the parts that are missing."""
    year = pl.format(" ({})", "year").fill_null("")
    genres = pl.format(". Genres: {}", pl.col("genres").list.join(", ")).fill_null("")
    return pl.col("title") + year + genres
