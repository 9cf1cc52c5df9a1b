"""Tables out of NumPy's ``.npz``: embeddings with their ids."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from rankloom.errors import DataError

__all__ = ["read_arrays"]


def read_arrays(path: Path, n_rows: int | None = None) -> pl.DataFrame:
    """Read every array as a column: numbers or texts ``[n]``, vectors ``[n, length]``.

    Args:
        path: An archive as ``numpy.savez(path, id=ids, vector=vectors)`` writes it; nothing in it
            is unpickled.
        n_rows: Keep at most so many.

    Raises:
        DataError: It is no such archive, or its arrays are no columns of one table.
    """
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read as NumPy arrays: {error}. Write it with numpy.savez(path, "
            "id=ids, vector=vectors), where ids are numbers or texts (dtype=str), not objects."
        ) from error
    if not arrays:
        raise DataError(f"{path} holds no array.")
    columns = {name: _column(path, name, array) for name, array in arrays.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DataError(f"{path}: its arrays are of different lengths ({said}).")
    frame = pl.DataFrame(columns)
    return frame if n_rows is None else frame.head(n_rows)


def _column(path: Path, name: str, array: npt.NDArray[np.generic]) -> pl.Series:
    if array.dtype.kind == "S":
        array = np.char.decode(array.astype(np.bytes_), "utf-8")
    numeric = array.dtype.kind in "iufb"
    if array.ndim == 1 and (numeric or array.dtype.kind == "U"):
        wide = array.astype(np.float32) if array.dtype == np.float16 else array
        return pl.Series(name, wide if numeric else array.tolist())
    if array.ndim == 2 and numeric:
        vectors = np.ascontiguousarray(array, dtype=np.float32)
        return pl.Series(name, vectors, dtype=pl.Array(pl.Float32, array.shape[1]))
    raise DataError(
        f"{path}: the array {name!r} has shape {array.shape} and type {array.dtype}. A table takes "
        "numbers or texts [n] and numbers [n, length]."
    )
