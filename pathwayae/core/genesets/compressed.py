"""Bytes of a file as downloaded: plain, gzip, bzip2, xz or a zip archive of one file, with a bound on their size."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Opened = Callable[[IO[bytes]], Any]

MOST = 2**32  # bytes of text that are read at most
RATIO = 200  # times its size that a file may unpack to; text of gene sets and ontologies packs 3 to 20 fold
FREE = 2**26  # bytes that any file may unpack to
STEP = 2**20

_KINDS: dict[bytes, tuple[str, Opened]] = {
    b"\x1f\x8b": ("gzip", lambda file: gzip.GzipFile(fileobj=file)),
    b"BZh": ("bzip2", bz2.BZ2File),
    b"\xfd7zXZ\x00": ("xz", lzma.LZMAFile),
    b"PK\x03\x04": ("zip", lambda file: _only_member(file)),
}
_OTHERS = {
    b"PK\x05\x06": "a zip archive of no files",
    b"\x28\xb5\x2f\xfd": "packed by zstandard",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x5d\x00\x00": "packed by lzma, in the old format",
    b"\x89HDF": "HDF5, as h5ad files of cells are",
    b"%PDF": "a PDF",
    b"\xd0\xcf\x11\xe0": "a file of Excel",
    b"PAR1": "a Parquet table, which pandas.read_parquet reads",
    b"\x89PNG": "a picture",
    b"\x80\x04": "a pickle of Python",
    b"\x80\x05": "a pickle of Python",
    b"X\n\x00\x00\x00": "a file of R (rds)",
    b"RDX": "a file of R (RData)",
    b"SQLite format 3": "an SQLite database",
}
_TAR = slice(257, 262)  # where an archive of tar says so
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read a file, unpacked where it is packed.

    Compression is recognised by content, not by name, and unpacked piece by piece, so that a small file that expands
    without end is stopped.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Its bytes.

    Raises
    ------
    ValueError
        If it is damaged, a zip archive of several files, or expands beyond measure.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(f"{folder}/a").write_bytes(bz2.compress(b"one"))
    ...     read_bytes(f"{folder}/a")
    b'one'
    """
    source = os.fspath(path)
    place = Path(path).expanduser()
    with place.open("rb") as file:
        head = file.read(6)
        file.seek(0)
        kind, opened = next((how for magic, how in _KINDS.items() if head.startswith(magic)), ("", None))
        size = place.stat().st_size
        most = min(MOST, max(FREE, RATIO * size)) if opened else MOST
        try:
            held = _bounded(file if opened is None else opened(file), most, source, size)
        except _DAMAGE as error:
            msg = f"{source} is a damaged {kind or 'plain'} file ({error}). Download it again."
            raise ValueError(msg) from error
    what = next((what for magic, what in _OTHERS.items() if held.startswith(magic)), "")
    if held[_TAR] == b"ustar":
        what = "a tar archive"
    if opened is not None and any(held.startswith(magic) for magic in _KINDS):
        what = "packed twice"
    if what:
        msg = f"{source} is {what}, which is not read. Unpack it, or save what it holds as text, and give that file."
        raise ValueError(msg)
    return held


def _bounded(stream: Any, most: int, source: str, size: int) -> bytes:
    held = io.BytesIO()
    while part := stream.read(STEP):
        held.write(part)
        if held.tell() > most:
            msg = (
                f"{source} ({size:,} bytes) unpacks to more than {most:,} bytes, which no file of gene sets does. "
                "Unpack it by hand and look at what it holds."
            )
            raise ValueError(msg)
    return held.getvalue()


def _only_member(file: IO[bytes]) -> Any:
    archive = zipfile.ZipFile(file)
    members = [
        one
        for one in archive.infolist()
        if not one.is_dir() and not one.filename.startswith("__MACOSX/") and not Path(one.filename).name.startswith(".")
    ]
    if any(one.filename == "[Content_Types].xml" for one in members):
        msg = (
            f"{getattr(file, 'name', 'the file')} is a workbook of Excel. Save the sheet as text with tabs, or pass "
            "what pandas.read_excel reads of it."
        )
        raise ValueError(msg)
    sets = [one for one in members if one.filename.lower().endswith(".gmt")]
    members = sets if len(sets) == 1 else members  # others explain it
    if len(members) != 1:
        some = ", ".join(repr(one.filename) for one in members[:5]) or "none"
        msg = f"{getattr(file, 'name', 'the archive')} holds {len(members)} files ({some}). Unpack it, and give one."
        raise ValueError(msg)
    return archive.open(members[0])
