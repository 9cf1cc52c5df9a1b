"""What the columns of a table probably are."""

from __future__ import annotations

import polars as pl

from rankloom.data.cells import BRACKETED, first, split_cells
from rankloom.data.checks import ROW, Decimal, parse_numbers, parse_times
from rankloom.data.fields import FieldSpec, FieldType
from rankloom.data.frames import FieldSource
from rankloom.data.tables import SEPARATOR

__all__ = ["infer_fields"]

_ENDINGS: dict[FieldType, tuple[str, ...]] = {
    "image": (".jpg", ".jpeg", ".png", ".webp", ".gif"),
    "audio": (".wav", ".mp3", ".flac", ".ogg"),
}
#: How files of sounds start (WAV, FLAC, Ogg, MP3 with a tag).
_SOUNDS = (b"RIFF", b"fLaC", b"OggS", b"ID3\x03", b"ID3\x04")
_LONG = 60  # mean characters from which repeated texts are texts all the same
_WORDS = 20  # mean characters up to which what stands between commas are words of a list


def infer_fields(
    frame: pl.DataFrame, side: str = "item", decimal: Decimal = "."
) -> dict[str, FieldSource]:
    """Guess a field for every column.

    Numbers (also as text, but not codes with leading zeros) become ``number``, dates
    ``timestamp``, bytes ``image`` or ``audio``, lists (native, in brackets, or of words with
    ``|``, comma or semicolon between them) multiple categories, lists of numbers ``vector``, texts
    that occur twice on average categories, other texts ``text``, paths of pictures and sounds
    ``image`` and ``audio``.

    Args:
        frame: A raw table without its id column.
        side: ``"item"`` or ``"user"``.
        decimal: The decimal mark of numbers that are text.

    Returns:
        Fields by column, in the frame's order.
    """
    fields = {}
    for name in frame.columns:
        if name != ROW:
            spec, separator = _infer(frame[name], f"{side}.{name}", decimal)
            fields[name] = FieldSource(spec, name, separator, decimal=decimal)
    return fields


def _infer(column: pl.Series, name: str, decimal: Decimal) -> tuple[FieldSpec, str]:
    """Return the field, and what separates the values of a cell."""
    dtype, present = column.dtype, column.drop_nulls()
    if isinstance(dtype, pl.Struct) or dtype == pl.Binary:
        return FieldSpec(name, _kind_of_bytes(present)), SEPARATOR
    spec = FieldSpec(name, "category")
    if isinstance(dtype, pl.List | pl.Array):
        spec = FieldSpec(name, "category", multiple=True)
        if dtype.inner.is_numeric():
            widths = present.list.len() if isinstance(dtype, pl.List) else None
            length = dtype.size if isinstance(dtype, pl.Array) else first(widths)
            spec = FieldSpec(name, "vector", length=length)
    elif dtype.is_temporal() and dtype not in (pl.Time, pl.Duration):
        spec = FieldSpec(name, "timestamp")
    elif dtype.is_numeric():
        spec = FieldSpec(name, "number")
    elif dtype == pl.String:
        present = present.set(present == "", None).drop_nulls()
        if len(present):
            return _infer_text(present, name, decimal)
    return spec, SEPARATOR


def _kind_of_bytes(present: pl.Series) -> FieldType:
    """Return whether bytes, or structs with ``bytes`` or ``path``, are sounds; else pictures."""
    if isinstance(present.dtype, pl.Struct):
        names = [field.name for field in present.dtype.fields]
        for name in ("bytes", "path"):
            inner = present.struct.field(name).drop_nulls() if name in names else pl.Series()
            if len(inner):
                present = inner
                break
    value = present[0] if len(present) else b""
    if isinstance(value, bytes):
        return "audio" if value[:4] in _SOUNDS else "image"
    return "audio" if str(value).lower().endswith(_ENDINGS["audio"]) else "image"


def _infer_text(present: pl.Series, name: str, decimal: Decimal) -> tuple[FieldSpec, str]:
    single = _single(present, decimal)
    if single is not None:
        return FieldSpec(name, single), SEPARATOR
    listed = _listed(present, name)
    if listed is not None:
        return listed
    mean = present.str.len_chars().mean()
    long = isinstance(mean, int | float) and mean > _LONG
    text = long or present.n_unique() * 2 > len(present)
    return FieldSpec(name, "text" if text else "category"), SEPARATOR


def _single(present: pl.Series, decimal: Decimal) -> FieldType | None:
    """Return the type of texts that are files, numbers or times, None if they are neither."""
    lower = present.str.to_lowercase()
    for kind, endings in _ENDINGS.items():
        if any(bool(lower.str.ends_with(ending).all()) for ending in endings):
            return kind
    numbers, bad = parse_numbers(present, decimal)
    if not bad.any() and not numbers.is_null().any():
        return "category" if present.str.contains(r"^\s*0\d").any() else "number"
    times, failed = parse_times(present)
    if not failed.any() and not times.is_null().any():
        return "timestamp"
    # a few that are no numbers ("12 to 15") do not make texts of the others
    return "category" if 2 * int(bad.sum()) < len(bad) else None


def _listed(present: pl.Series, name: str) -> tuple[FieldSpec, str] | None:
    """Return the field of texts that are lists, None if they are not."""
    multiple = FieldSpec(name, "category", multiple=True)
    if 10 * int(present.str.contains(BRACKETED).sum()) >= 9 * len(present):
        parts = split_cells(present, ",").list.eval(pl.element().str.strip_chars())
        numbers = parts.cast(pl.List(pl.Float64), strict=False).explode()
        if not numbers.is_null().any():
            return FieldSpec(name, "vector", length=first(parts.list.len())), ","
        return (multiple, ",") if _mean_length(parts) <= _LONG else None
    if 10 * int(present.str.contains(SEPARATOR, literal=True).sum()) >= len(present):
        return multiple, SEPARATOR
    for separator in (",", ";"):
        parts = present.str.split(separator)
        values = parts.explode().str.strip_chars()
        several = 10 * int((parts.list.len() > 1).sum()) >= len(present)
        if several and _mean_length(parts) <= _WORDS and 4 * values.n_unique() <= len(values):
            return multiple, separator
    return None


def _mean_length(parts: pl.Series) -> float:
    mean = parts.explode().str.len_chars().mean()
    return float(mean) if isinstance(mean, int | float) else 0.0
