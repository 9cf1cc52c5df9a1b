"""Bytes of pictures and sounds: from below a root or uploaded, bounded, never a URL."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["MediaReader", "Unreadable"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


class Unreadable(ValueError):
    """A value that cannot be read; the text says why, in one clause without the value itself."""


class MediaReader:
    """Reads values that are paths below a root, bytes, or mappings with ``bytes`` or ``path``.

    Args:
        root: Where relative paths start; no path may lead out of it.
        max_bytes: Larger files are refused before they are read.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root = root
        self.max_bytes = max_bytes

    def given(self, value: Any) -> bool:
        """Return whether there is a value at all: None, NaN, blank text and no bytes are none."""
        if isinstance(value, Mapping):
            return self.given(value.get("bytes")) or self.given(value.get("path"))
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return False
        if isinstance(value, str):
            return bool(value.strip())
        return not (isinstance(value, bytes | bytearray | memoryview) and len(value) == 0)

    def read(self, value: Any) -> bytes:
        """Return the bytes.

        Raises:
            Unreadable: No such file, outside the root, a URL, or too large.
        """
        found = self._source(value)
        if isinstance(found, bytes):
            return found
        try:
            with found.open("rb") as handle:
                data = handle.read(self.max_bytes + 1)  # it may have grown since it was looked at
        except OSError as error:
            raise Unreadable(f"it cannot be read ({error.strerror or error})") from error
        self._check(len(data))
        return data

    def digest(self, value: Any) -> bytes:
        """Return what tells contents apart: the sha256 of the bytes, which are read in pieces.

        A value that cannot be read is known by its name.
        """
        try:
            found = self._source(value)
            if isinstance(found, bytes):
                return hashlib.sha256(found).digest()
            with found.open("rb") as handle:
                return hashlib.file_digest(handle, "sha256").digest()
        except (Unreadable, OSError):
            return b"unreadable " + repr(value)[:1000].encode("utf-8", "replace")

    def _source(self, value: Any) -> bytes | Path:
        if isinstance(value, Mapping):
            data = value.get("bytes")
            value = data if self.given(data) else value.get("path")
        if isinstance(value, bytes | bytearray | memoryview):
            self._check(len(value))
            return bytes(value)
        if not isinstance(value, str | Path):
            raise Unreadable(f"it is {type(value).__name__}, neither a path nor bytes")
        return self._path(str(value))

    def _path(self, name: str) -> Path:
        if _URL.match(name):
            raise Unreadable("it is a URL: media are read from below the root alone")
        root = self.root.resolve()
        try:
            path = (root / name).resolve()
            if not path.is_relative_to(root):
                raise Unreadable(f"it leads out of the media root {root}")
            if not path.is_file():
                raise Unreadable(f"there is no such file below the media root {root}")
            self._check(path.stat().st_size)
        except (OSError, ValueError) as error:
            if isinstance(error, Unreadable):
                raise
            raise Unreadable(f"it is no usable path ({error})") from error
        return path

    def _check(self, size: int) -> None:
        if size > self.max_bytes:
            raise Unreadable(f"it has more than {self.max_bytes:,} bytes (max_bytes)")
