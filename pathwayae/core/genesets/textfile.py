"""Text files, plain or compressed: read whole, and checked line by line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pathwayae.core.genesets.compressed import read_bytes

if TYPE_CHECKING:
    from collections.abc import Collection

_SHOWN = 60
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read_text(path: str | os.PathLike[str]) -> str:
    r"""Read a text file, plain or compressed (gzip, bzip2, xz, or a zip archive of one file).

    Compression is recognised by content, not by name. The text must be UTF-8, or UTF-16 with a byte-order mark, as
    Excel saves "Unicode text"; the mark is dropped, and all line ends become ``\n``.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    The text.

    Raises
    ------
    ValueError
        If the file is empty, damaged, expands beyond measure, has NUL bytes, is not UTF-8 or an HTML page.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(f"{folder}/a.txt").write_bytes(b"one\r\ntwo\n")
    ...     read_text(f"{folder}/a.txt")
    'one\ntwo\n'
    """
    source = os.fspath(path)
    data = read_bytes(path)
    try:
        text = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        msg = f"{source}, line {line}: not UTF-8 text ({error.reason}). Save the file as UTF-8 text."
        raise ValueError(msg) from error
    if (place := text.find("\x00")) >= 0:
        line = text.count("\n", 0, place) + 1
        msg = f"{source}, line {line}: holds a NUL byte, so it is no text file, or damaged. Save or download it again."
        raise ValueError(msg)
    start = text[:200].lstrip().lower()
    if not start and not text.strip():
        msg = f"{source} is empty. Write or download the file again."
        raise ValueError(msg)
    if start.startswith(("<!doctype", "<html")):
        msg = (
            f"{source}: this is an HTML page, not a data file. Download it again from the file's own link (some "
            "servers answer with a login or error page)."
        )
        raise ValueError(msg)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def table_lines(
    text: str, source: str, n_columns: Collection[int], *, comment: str = "", advice: str = ""
) -> list[str]:
    r"""Keep the rows of a tab-separated table, each with an allowed number of columns.

    Blank lines and lines that begin with `comment` are skipped. A `comment` inside a line is data.

    Parameters
    ----------
    text
        The text of the file.
    source
        What the errors call it, usually a path.
    n_columns
        Allowed numbers of columns; empty: all rows must have as many as the first, and at least two.
    comment
        How a comment line begins; empty for none.
    advice
        What to do next, the end of the error.

    Returns
    -------
    The lines.

    Raises
    ------
    ValueError
        If a line has another number of columns (it is named), or there is no row.

    Examples
    --------
    >>> table_lines("!c\nCD3D\tGO:1\n\nCD2\tGO:1\n", "a.tsv", [2], comment="!")
    ['CD3D\tGO:1', 'CD2\tGO:1']
    """
    lines: list[str] = []
    allowed = {number - 1 for number in n_columns}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or (comment and line.startswith(comment)):
            continue
        n_tabs = line.count("\t")
        if not allowed and n_tabs:
            allowed = {n_tabs}
        if n_tabs not in allowed:
            wanted = " or ".join(str(n + 1) for n in sorted(allowed)) or "at least 2"
            msg = (
                f"{source}, line {number}: {n_tabs + 1} tab-separated column(s), where {wanted} are expected: "
                f"{line[:_SHOWN] + '…' * (len(line) > _SHOWN)!r}. {advice}"
            )
            raise ValueError(msg.rstrip())
        lines.append(line)
    if not lines:
        msg = f"{source}: no rows, only comments or blank lines. Write or download the file again."
        raise ValueError(msg)
    return lines
