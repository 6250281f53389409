"""Room on the disk, seen to before HDF5 writes: it may crash on a full disk, at its leisure and with many words."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anndata import AnnData

PER_ELEMENT = 2048  # bytes of headers that a stored element takes, at most


def n_bytes(value: Any) -> int:
    """Bytes that a table, a matrix or a dict of them takes in a file, at most."""
    if isinstance(value, dict):
        return PER_ELEMENT + sum(n_bytes(one) for one in value.values())
    if hasattr(value, "memory_usage"):  # a table: every column is an element
        kinds = [one.kind for one in getattr(value, "dtypes", ())] + [value.index.dtype.kind]
        words = 32 * len(value) * kinds.count("O")  # beside the letters, which may be all that memory holds
        return 2 * PER_ELEMENT * len(kinds) + int(value.memory_usage(deep=True).sum()) + words
    if hasattr(value, "indptr"):  # stored in chunks, the last of which is not full
        return 16 * PER_ELEMENT + int(1.1 * (value.data.nbytes + value.indices.nbytes + value.indptr.nbytes))
    if hasattr(value, "ravel") and value.dtype.kind == "O":
        return PER_ELEMENT + sum(32 + 4 * len(str(one)) for one in value.ravel())
    return PER_ELEMENT + int(1.1 * getattr(value, "nbytes", 0)) + (4 * len(value) if isinstance(value, str) else 0)


def of_cells(adata: AnnData) -> int:
    """Bytes that an AnnData takes in a file, at most."""
    names = ("layers", "obsm", "varm", "obsp", "varp", "uns")
    parts = {"obs": adata.obs, "var": adata.var, "X": adata.X} | {name: dict(getattr(adata, name)) for name in names}
    raw = adata.raw
    return n_bytes(parts if raw is None else parts | {"raw": {"X": raw.X, "var": raw.var}})


def reserve(path: Path, more: int) -> None:
    """Make a file longer, so that a full disk is met here; HDF5 cuts what it does not need."""
    if not hasattr(os, "posix_fallocate"):
        check(path, more)
        return
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), path.stat().st_size, more)


def check(path: Path, size: int) -> None:
    """Raise OSError where a new file could not become so large, for the disk, a quota or a limit of the process."""
    if not hasattr(os, "posix_fallocate"):
        if shutil.disk_usage(path.parent).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return
    path.touch()
    try:
        reserve(path, size)
    finally:
        path.unlink()
