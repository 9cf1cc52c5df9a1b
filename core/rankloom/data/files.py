"""What a file of a table is like: its format, its separator, its encoding."""

from __future__ import annotations

import codecs
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

from rankloom.errors import DataError

__all__ = ["Format", "guess_encoding", "guess_separator", "kind_of", "open_plain", "read_bytes"]

Kind = Literal["text", "jsonl", "parquet", "npz"]

#: Other separators than the ending's, in the order in which they are looked for in a header.
_OTHERS = ",;\t|"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Format:
    """Format of a table.

    Attributes:
        kind: ``text`` (CSV, TSV), ``jsonl``, ``parquet`` or ``npz`` (NumPy).
        separator: Which the ending promises, for text.
        packed: Compressed by gzip.
    """

    kind: Kind
    separator: str = ","
    packed: bool = False


_FORMATS = {
    ".csv": Format("text"),
    ".txt": Format("text"),
    ".tsv": Format("text", "\t"),
    ".jsonl": Format("jsonl"),
    ".ndjson": Format("jsonl"),
    ".parquet": Format("parquet"),
    ".npz": Format("npz"),
}


def kind_of(path: Path, separator: str | None = None) -> Format:
    """Return the format that a path's ending names; ``.gz`` may follow that of a text.

    Args:
        path: The file.
        separator: A file of an unknown ending is a text where this is given.

    Raises:
        DataError: The ending is unknown.
    """
    packed = path.suffix.lower() == ".gz"
    suffix = Path(path.stem).suffix.lower() if packed else path.suffix.lower()
    found = _FORMATS.get(suffix)
    if found is None and separator is not None:
        found = Format("text", separator)
    if found is None or (packed and found.kind in ("parquet", "npz")):
        raise DataError(
            f"{path}: the ending {path.suffix!r} is unknown. Use .csv, .tsv, .jsonl (each may be "
            f"followed by .gz), .parquet or .npz, or give a 'separator'."
        )
    return Format(found.kind, separator or found.separator, packed)


def open_plain(path: Path, packed: bool) -> BinaryIO:
    """Open a file for reading its bytes, unpacked."""
    return cast("BinaryIO", gzip.open(path)) if packed else path.open("rb")


def read_bytes(path: Path, packed: bool) -> bytes:
    """Return a file's bytes, unpacked.

    Raises:
        DataError: A packed file is damaged.
    """
    try:
        with open_plain(path, packed) as handle:
            return handle.read()
    except (EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{path} cannot be unpacked: {error}.") from error


def guess_separator(path: Path, form: Format, encoding: str = "utf-8") -> str:
    """Return the separator of a file with a header.

    The ending's where the header holds it, else the first of comma, semicolon, tab and bar that it
    holds: files saved by a spreadsheet in many countries are ``.csv`` with semicolons.
    """
    try:
        with open_plain(path, form.packed) as handle:
            text = handle.readline(_BLOCK)
        header = text.decode(encoding, "replace")
    except (OSError, EOFError, LookupError):
        return form.separator  # whoever reads the file says what is wrong with it
    unquoted = "".join(header.split('"')[::2])
    candidates: list[str] = [form.separator, *_OTHERS]
    for candidate in candidates:
        if candidate in unquoted:
            return candidate
    return form.separator


def guess_encoding(path: Path) -> str:
    """Return ``utf-8`` where the whole file is that, else ``utf-16`` by its mark or ``cp1252``.

    Any bytes can be read as cp1252 or one of its kin; where cp1252 leaves a byte open it is
    ``iso-8859-1``.
    """
    form = kind_of(path, ",")
    with open_plain(path, form.packed) as handle:
        start = handle.read(2)
    if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    return next((e for e in ("utf-8", "cp1252") if _decodes(path, form, e)), "iso-8859-1")


def _decodes(path: Path, form: Format, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with open_plain(path, form.packed) as handle:
            while block := handle.read(_BLOCK):
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile):
        return False
    return True
