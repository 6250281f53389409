"""Files that are whole or not there."""

from __future__ import annotations

import errno
import glob
import logging
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger("pathwayae")

END = ".tmp"  # of the folders in which files are made
HOST = re.sub(r"[^\w-]", "_", platform.node())[:20]  # locks of other machines may not be seen here
SHOWN = 40  # characters of a name in that of its folder
OLD = ".old"  # of what is replaced, while it is
NEW = 60.0  # seconds in which another run may have made its folder and not locked it yet
OF_ZARR = (".zgroup", ".zarray", "zarr.json")
NO_RIGHTS = (errno.EACCES, errno.EPERM, errno.EROFS)
NO_NAME = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors of the system that do not tell of which file


@contextmanager
def whole_or_nothing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A place to write to, a file or a folder, which takes the place of ``path`` at the end, or vanishes.

    It lies in a hidden folder beside ``path``, which nobody else can write to and whose name cannot be guessed. A new
    file has the mode that the umask leaves, one that takes the place of another the mode of that one. ``~`` is
    expanded; through a symbolic link, what it points to is replaced. The place goes away when the block is left by an
    error, Ctrl-C, SIGTERM or SIGHUP; after SIGKILL or a crash, the next run that writes the same file removes it.

    Raises
    ------
    OSError
        If the file cannot be written; it names ``path``.
    ValueError
        If ``path`` lies inside a zarr, whose files are not others' to add to.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_or_nothing(Path(folder) / "a.txt") as part:
    ...         _ = part.write_text("all of it")
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['a.txt']
    """
    named = Path(path).expanduser()
    if named.exists() and not (named.is_file() or named.is_dir()):  # a pipe or a device, which nothing can replace
        yield named
        return
    check_outside(named)
    target = Path(os.path.realpath(named))
    begin = f".{target.name[:SHOWN]}.{HOST}."
    try:
        with private_folder(target.parent, begin) as folder:
            part = folder / target.name
            yield part
            _take_place(part, target)
    except OSError as error:
        inside = str(error.filename or "").startswith(str(target.parent / begin))
        if inside or (error.filename is None and error.errno in NO_NAME):
            error.filename = str(named)
            if error.errno in NO_RIGHTS:
                error.strerror = f"{error.strerror}: its folder takes no files; choose another, or change its rights"
            if error.filename2 is not None:
                del error.filename2  # of a place that is gone
        raise


def check_outside(path: Path) -> None:
    """Raise ValueError where a file would be written into a zarr."""
    for folder in Path(os.path.realpath(path)).parents:
        if is_zarr(folder):
            msg = f"{path} lies inside of {folder}, which is a zarr: write beside it, not into it."
            raise ValueError(msg)


def is_zarr(folder: Path) -> bool:
    """Whether a folder is a zarr, or a part of one."""
    return any((folder / name).exists() for name in OF_ZARR)


@contextmanager
def private_folder(parent: Path, begin: str) -> Iterator[Path]:
    """A new folder of a name that begins so, which goes at the end of the block however it ends; so do those left."""
    for left in sorted(parent.glob(f"{glob.escape(begin)}*{END}") if parent.is_dir() else ()):
        if _abandoned(left):
            logger.info("%s was left of a run that was killed; it is removed.", left)
            shutil.rmtree(left, ignore_errors=True)
    with terminating():
        folder = Path(tempfile.mkdtemp(END, begin, parent))
        lock = _locked(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if lock is not None:
                os.close(lock)


@contextmanager
def terminating() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as an error does, unless the program has plans of its own for them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    ours = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ours = [one for one in ours if signal.getsignal(one) is signal.SIG_DFL]
    for one in ours:
        signal.signal(one, leave)
    try:
        yield
    finally:
        for one in ours:
            signal.signal(one, signal.SIG_DFL)


def _locked(folder: Path) -> int | None:
    """The lock of a folder as long as this process lives; None where the system has none."""
    if sys.platform == "win32":
        return None
    descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _abandoned(folder: Path) -> bool:
    """Whether no process holds the lock of a folder that holds nothing but parts, on a disk where locks are seen."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    if any(folder.glob(f"*{OLD}")):
        logger.warning("%s holds what a run was replacing when it was killed; move it back, or remove it.", folder)
        return False
    with suppress(OSError):
        old = time.time() - folder.stat().st_mtime > NEW
        lock = _locked(folder) if old else None
        if lock is not None:
            os.close(lock)
            return True
    return False


def _take_place(part: Path, target: Path) -> None:
    """Rename; a folder cannot be renamed onto another, which therefore steps aside first."""
    if not (target.is_dir() and part.is_dir()):
        if target.is_file():
            shutil.copymode(target, part)
        part.replace(target)
        return
    aside = part.with_name(f"{part.name}{OLD}")  # goes with the folder that the part is in
    target.replace(aside)
    try:
        part.replace(target)
    except OSError:
        aside.replace(target)
        raise


def check_zip(path: str | os.PathLike[str]) -> None:
    """Raise BadZipFile unless a file is a zip archive, as npz are: numpy would take others for what it can unpickle."""
    with open(path, "rb") as file:  # a file that is not there, or not to be read, says so itself
        whole = zipfile.is_zipfile(file)
    if not whole:
        msg = "it is no zip archive, or cut off"
        raise zipfile.BadZipFile(msg)
