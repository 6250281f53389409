"""What lies in an h5ad or zarr: the matrix at one place, what is missing of it, and whether it stays as it was."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anndata as ad
from anndata.abc import CSCDataset, CSRDataset
from numpy.typing import NDArray

from pathwayae._cells.formats import foreign
from pathwayae.core.notice import warn

READING = (
    OSError,
    KeyError,
    ValueError,
    RuntimeError,
    IndexError,
    TypeError,
    AttributeError,
)  # of damaged files


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


def has(path: Path, part: str) -> bool:
    """Whether an h5ad or zarr has a part; False for other files."""
    with ExitStack() as stack:
        try:
            return part in root_of(path, stack)
        except READING:
            return False


def checked_root(path: Path, stack: ExitStack, name: str) -> Any:
    """The file or folder, opened for reading; raises ValueError where it cannot be, or takes values from elsewhere."""
    if what := foreign(path):
        msg = f"{name} is not read: {what}."
        raise ValueError(msg)
    try:
        root = root_of(path, stack)
        elsewhere = _elsewhere(root)
    except READING as error:
        msg = f"{name} cannot be opened ({error}). It is truncated, damaged, or no AnnData: fetch or write it again."
        raise ValueError(msg) from error
    if lost := _lost_names(root):
        msg = f"{name} lacks the names of {lost}: the file is damaged. Fetch or write it again."
        raise ValueError(msg)
    if elsewhere:
        msg = f"{name} is not read: {elsewhere}, and a file could show any other so. Copy what belongs to it into it."
        raise ValueError(msg)
    return root


def _lost_names(root: Any) -> str:
    """Tables whose names are in chunks that are gone, which zarr reads as empty text; empty where there are none."""
    lost = []
    for part in ("obs", "var"):
        table = root.get(part)
        index = table.get(table.attrs.get("_index", "_index")) if hasattr(table, "keys") else None
        if index is not None and hasattr(index, "keys"):  # text that pandas 3 wrote lies beside a mask
            index = index["values"]
        if _missing_chunks(index):
            lost.append(part)
    return " and ".join(lost)


def check_chunks(values: Any, lost: int, name: str) -> None:
    """Raise ValueError where a sparse matrix lacks chunks; warn where a dense one does, which may be of zeros alone."""
    if lost and isinstance(values, CSRDataset | CSCDataset):
        msg = f"{name} lacks {lost} chunks of its values; a whole file with cells is needed."
        raise ValueError(msg)
    if lost:
        msg = (
            f"{name} lacks {lost} of {n_chunks(values)} chunks of its dense values, which are read as zeros. Zarr "
            "leaves out chunks that hold only zeros, so this may be right; if it is not, fetch or write it again."
        )
        warn(msg)


def _elsewhere(root: Any) -> str:
    """What an HDF5 file takes from other files; empty where nothing."""
    import h5py

    def look(name: str, link: Any) -> str | None:
        if isinstance(link, h5py.ExternalLink):
            return f"{name!r} is a link into the file {link.filename!r}"
        if isinstance(link, h5py.HardLink) and root.get(name, getclass=True) is h5py.Dataset:
            found = root[name]
            if found.external or found.is_virtual:
                return f"the values of {name!r} lie in other files"
        return None

    return (root.visititems_links(look) or "") if isinstance(root, h5py.Group) else ""


def values_of(root: Any, place: str) -> tuple[Any, int]:
    """The matrix at one place of a file, dense or sparse, None where there is none; and its lost chunks."""
    stored = root.get(place)
    if stored is None or hasattr(stored, "shape"):
        return stored, _missing_chunks(stored)
    return ad.io.sparse_dataset(stored), _missing_chunks(stored["data"]) + _missing_chunks(stored["indices"])


def bounds(values: Any, name: str) -> tuple[NDArray[Any], int]:
    """Bounds of the rows (or columns) of a sparse matrix of a file, and how many values and indices it stores."""
    try:
        indptr, indices = values.group["indptr"][...], values.group["indices"]
        n_stored, kind = min(values.group["data"].shape[0], indices.shape[0]), indices.dtype.kind
    except READING as error:
        msg = f"{name} cannot be read ({error}). It is truncated or damaged: fetch or write it again."
        raise ValueError(msg) from error
    if kind not in "iu":
        msg = f"{name} is damaged: its indices are of type {indices.dtype}, not integers. Write the data again."
        raise ValueError(msg)
    return indptr, n_stored


def _missing_chunks(array: Any) -> int:
    """Chunks of a zarr that are not there: zarr reads them as zeros. Of a sharded one, its shards are counted."""
    if not hasattr(array, "nchunks_initialized"):
        return 0
    shards = getattr(array, "shards", None)
    in_one = math.prod(shards) // math.prod(array.chunks) if shards else 1  # a shard at the edge has room for all
    return n_chunks(array) - array.nchunks_initialized // in_one


def n_chunks(array: Any) -> int:
    """Chunks of a zarr that lie in a file of their own, were all there: those of a sharded one are its shards."""
    shards = getattr(array, "shards", None)
    return math.prod(-(-size // of) for size, of in zip(array.shape, shards, strict=True)) if shards else array.nchunks


def watch(values: Any, name: str) -> Callable[[], None] | None:
    """What raises ValueError once the file of a matrix is another than now; None for what lies in no file."""
    stored = values.group if isinstance(values, CSRDataset | CSCDataset) else values
    before = _state(stored)
    return None if before is None else partial(_check_unchanged, stored, name, before)


def _check_unchanged(stored: Any, name: str, before: tuple[int, ...]) -> None:
    if _state(stored) != before:
        msg = (
            f"{name} has changed on the disk while it was read: cut off, written to, or pieces of it removed. What was "
            "read may be of both states, and is not used; try again when nothing else works on it."
        )
        raise ValueError(msg)


def _state(stored: Any) -> tuple[int, ...] | None:
    """Number of the files that an array or group lies in, their size, and the times of their last changes."""
    kind = type(stored).__module__.split(".")[0]
    if kind == "h5py" and stored.file.driver == "sec2":
        return _sum([os.fstat(stored.file.id.get_vfd_handle())])
    if kind == "zarr":
        place = getattr(stored.store, "root", getattr(stored.store, "path", None))
        if isinstance(place, str | os.PathLike):
            folder = Path(place, stored.path)
            return _sum([one.stat() for one in folder.rglob("*") if not one.is_dir()])
    return None


def _sum(files: list[os.stat_result]) -> tuple[int, ...]:
    return len(files), sum(one.st_size for one in files), sum(one.st_mtime_ns for one in files)
