"""What lies in an h5ad or zarr: the matrix at one place, and what is missing of it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import anndata as ad

READING = (OSError, KeyError, ValueError, RuntimeError, IndexError)  # what damaged files raise


class Stored(NamedTuple):
    """Where the values of a file lie, for a worker to open it: what messages call it, path, and place within.

    ``n_bytes`` bounds a matrix by genes (CSC), which can only be read ``whole``.
    """

    name: str
    path: Path
    place: str
    n_bytes: int
    whole: bool = False


def root_of(path: Path, stack: ExitStack) -> Any:
    """The file or folder, opened for reading; a file closes with the stack."""
    if path.is_dir():
        import zarr

        return zarr.open_group(path, mode="r")
    import h5py

    return stack.enter_context(h5py.File(path, "r"))


def values_of(root: Any, place: str) -> tuple[Any, int]:
    """The matrix at one place of a file, dense or sparse, None where there is none; and its lost chunks."""
    stored = root.get(place)
    if stored is None or hasattr(stored, "shape"):
        return stored, _missing_chunks(stored)
    return ad.io.sparse_dataset(stored), _missing_chunks(stored["data"]) + _missing_chunks(stored["indices"])


def _missing_chunks(array: Any) -> int:
    """Chunks of a zarr that are not there: zarr reads them as zeros."""
    return array.nchunks - array.nchunks_initialized if hasattr(array, "nchunks_initialized") else 0
