"""Room on the disk, seen to before HDF5 writes: it may crash on a full disk, at its leisure and with many words."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

PER_ELEMENT = 2048  # bytes of headers that a stored element takes, at most


def n_bytes(value: Any) -> int:
    """Bytes that a table, a matrix or a dict of them takes in a file, at most."""
    if isinstance(value, dict):
        return PER_ELEMENT + sum(n_bytes(one) for one in value.values())
    if hasattr(value, "memory_usage"):  # a table: every column is an element
        columns = len(getattr(value, "columns", ())) + 1
        return 2 * PER_ELEMENT * columns + int(value.memory_usage(deep=True).sum())
    if hasattr(value, "indptr"):  # stored in chunks, the last of which is not full
        return 16 * PER_ELEMENT + int(1.1 * (value.data.nbytes + value.indices.nbytes + value.indptr.nbytes))
    if hasattr(value, "ravel") and value.dtype.kind == "O":
        return PER_ELEMENT + sum(32 + 4 * len(str(one)) for one in value.ravel())
    return PER_ELEMENT + int(1.1 * getattr(value, "nbytes", 0)) + (4 * len(value) if isinstance(value, str) else 0)


def reserve(path: Path, more: int) -> None:
    """Make a file longer, so that a full disk is met here; HDF5 cuts what it does not need."""
    if not hasattr(os, "posix_fallocate"):
        check(path, more)
        return
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), path.stat().st_size, more)


def check(path: Path, size: int) -> None:
    """Raise OSError where the disk of a file to be written has less room."""
    if shutil.disk_usage(path.parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
