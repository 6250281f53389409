"""GMT text ↔ records: one gene set per line, fields separated by tabs (name, description, genes)."""

from __future__ import annotations

import gzip
import io
import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from pathwayae.core.files import whole_or_nothing
from pathwayae.core.genesets.formats import parse_other
from pathwayae.core.genesets.second_column import decide
from pathwayae.core.genesets.textfile import read_text
from pathwayae.core.notice import warn

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger("pathwayae")

_SHOWN = 60


class GeneSet(NamedTuple):
    """One line of a GMT file.

    Parameters
    ----------
    name
        Name of the gene set.
    description
        Second column: a text, an address or nothing.
    genes
        Genes in the order of the file, repeated genes included.

    Examples
    --------
    >>> GeneSet("T cells", "markers", ("CD3D", "CD3E")).genes
    ('CD3D', 'CD3E')
    """

    name: str
    description: str
    genes: tuple[str, ...]


def parse(
    text: str | Iterable[str], source: str = "the text", *, description: bool | Literal["auto"] = True
) -> list[GeneSet]:
    r"""Turn GMT text into records.

    Only tabs separate fields, since names and descriptions hold blanks. Blank lines are skipped, blanks around a
    field are removed, and empty gene cells (trailing tabs, mostly) are dropped and counted in the log; lines that begin
    with ``#`` and hold no tab are comments. Repeated genes, repeated names and sets without genes are kept as they are.

    Parameters
    ----------
    text
        The whole text, or its lines.
    source
        What the errors call it, usually a path.
    description
        Whether the second column is a description (else a gene); ``"auto"``: as
        :func:`pathwayae.core.genesets.second_column.decide` finds, which is logged, and warned of where it is a guess.

    Returns
    -------
    One record per line.

    Raises
    ------
    ValueError
        If the text is empty, an HTML page, or not tab-separated; the message names `source` and the line.

    Examples
    --------
    >>> parse("T cells\tmarkers of T cells\tCD3D\tCD3E\t\n")
    [GeneSet(name='T cells', description='markers of T cells', genes=('CD3D', 'CD3E'))]
    """
    lines = re.split(r"\r\n|\n|\r", text) if isinstance(text, str) else [line.rstrip("\r\n") for line in text]
    rows: list[list[str]] = []
    n_empty = n_comments = 0
    for number, line in enumerate(lines, start=1):
        bare = line.removeprefix("\ufeff") if number == 1 else line
        if not bare.strip():
            continue
        if not rows:
            _refuse_html(bare, source, number)
            _refuse_table(bare, source)
        if bare.startswith("#") and "\t" not in bare:
            n_comments += 1
            continue
        fields = _fields(bare, source, number)
        n_empty += bare.count("\t") + 1 - len(fields)
        rows.append(fields)
    if not rows:
        msg = f"{source} is empty: no gene set in {len(lines)} line(s). Write or download the GMT file again."
        raise ValueError(msg)
    if n_empty:
        logger.info("%s: dropped %d empty gene cells (doubled or trailing tabs)", source, n_empty)
    if n_comments:
        logger.info("%s: skipped %d lines that begin with '#' and hold no tab", source, n_comments)
    if marked := [row[0] for row in rows if row[0].startswith("#")]:
        msg = (
            f"{source}: {len(marked)} lines with tabs begin with '#', e.g. {_shorten(marked[0])!r}, and are read as "
            "gene sets. Where they are comments, or sets that were meant to be left out, remove these lines."
        )
        warn(msg)
    described = _is_description(rows, source) if description == "auto" else description
    if described:
        return [GeneSet(row[0], row[1], tuple(row[2:])) for row in rows]
    return [GeneSet(row[0], "", tuple(gene for gene in row[1:] if gene)) for row in rows]


def _is_description(rows: list[list[str]], source: str) -> bool:
    """The decision on the second column, in the log, or in a warning where it is a guess."""
    found = decide(rows)
    what = "a description" if found.is_description else "a gene: the file has no descriptions"
    logger.info("%s: the second column is %s (%s).", source, what, found.why)
    if not found.is_sure:
        msg = (
            f"{source}: the second column is taken as {what} ({found.why}). If it is a description, pass "
            "pae.gs.read_gmt(path, description=True); description=False says that this is right."
        )
        warn(msg)
    return found.is_description


def read(path: str | os.PathLike[str], *, description: bool | Literal["auto"] = "auto") -> list[GeneSet]:
    """Read a GMT file, plain or compressed, or one of the other formats of gene sets.

    Compression is recognised by content, not by name, and so is JSON, XML and a plain list of genes, see
    :func:`pathwayae.core.genesets.formats.parse_other`. The text must be UTF-8; a byte-order mark and Windows line ends
    are tolerated.

    Parameters
    ----------
    path
        The file.
    description
        As for :func:`parse`.

    Returns
    -------
    One record per line, as :func:`parse` gives them.

    Raises
    ------
    ValueError
        If the file is empty, damaged, an HTML page, not UTF-8 or not tab-separated.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(f"{folder}/sets.gmt.gz", [GeneSet("T cells", "", ("CD3D", "CD3E"))])
    ...     read(f"{folder}/sets.gmt.gz")
    [GeneSet(name='T cells', description='', genes=('CD3D', 'CD3E'))]
    """
    text, source = read_text(path), os.fspath(path)
    other = parse_other(text, source)
    if other is not None:
        return [GeneSet(*record) for record in other]
    return parse(text, source, description=description)


def write(path: str | os.PathLike[str], sets: Iterable[GeneSet]) -> None:
    r"""Write a GMT file, gzipped if `path` ends with ``.gz``.

    The file appears whole or not at all: the text goes to a temporary file beside `path`, which then takes its place.
    The same sets always give the same bytes.

    Parameters
    ----------
    path
        The file to write or to replace.
    sets
        The gene sets in order; each with a name and at least one gene.

    Raises
    ------
    ValueError
        If there is nothing to write, or a field would not read back as it is (empty, tabs, line breaks, blanks around).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(f"{folder}/sets.gmt", [GeneSet("T cells", "markers", ("CD3D", "CD3E"))])
    ...     Path(f"{folder}/sets.gmt").read_text()
    'T cells\tmarkers\tCD3D\tCD3E\n'
    """
    data = "".join(_render(record) for record in sets).encode()
    if not data:
        msg = f"no gene sets to write to {os.fspath(path)}: `sets` is empty. Give at least one gene set."
        raise ValueError(msg)
    with whole_or_nothing(path) as part:
        part.write_bytes(_compress(data) if Path(path).suffix == ".gz" else data)


def _fields(line: str, source: str, number: int) -> list[str]:
    """Name, second field and all others that are not empty."""
    if "\t" not in line:
        msg = (
            f"{source}, line {number}: no tab in {_shorten(line)!r}. GMT fields (name, description, genes) are "
            "separated by tabs, not by blanks or commas. Save the file as tab-separated text, or pass a dict of "
            "name → list of genes."
        )
        raise ValueError(msg)
    name, second, *genes = (field.strip() for field in line.split("\t"))
    if not name:
        msg = f"{source}, line {number}: the gene set has no name: {_shorten(line)!r}. Name it in the first column."
        raise ValueError(msg)
    return [_unquoted(name), _unquoted(second), *(gene for gene in genes if gene)]


def _unquoted(field: str) -> str:
    """Without the quotes that R and spreadsheets put around text."""
    return field[1:-1] if len(field) > 2 and field[0] == field[-1] == '"' and field.count('"') == 2 else field


def _refuse_html(line: str, source: str, number: int) -> None:
    if line.lstrip().lower().startswith(("<!doctype", "<html")):
        msg = (
            f"{source}, line {number}: this is an HTML page, not a GMT file. Download it again from the file's own "
            "link (some servers answer with a login or error page)."
        )
        raise ValueError(msg)


def _refuse_table(line: str, source: str) -> None:
    names = [_unquoted(field.strip()).lower() for field in re.split(r"[\t,;]", line)]
    if {"source", "target"} <= set(names):
        separator = next(one for one in "\t,;" if one in line)
        msg = (
            f"{source} is a table with a row per set and gene ({', '.join(names[:5])}), not GMT. Pass it as one: "
            f"pandas.read_csv({source!r}, sep={separator!r})."
        )
        raise ValueError(msg)


def _render(record: GeneSet) -> str:
    required = (record.name, *record.genes)
    if not record.genes or not all(required):
        msg = f"gene set {record.name!r}: needs a name, at least one gene and no empty gene. Drop it before writing."
        raise ValueError(msg)
    for field in (*required, record.description):
        if field != field.strip() or any(character in field for character in "\t\n\r"):
            msg = (
                f"gene set {record.name!r}: {_shorten(field)!r} holds a tab or a line break, or begins or ends with a "
                "blank, and would not read back from a GMT file. Replace them before writing."
            )
            raise ValueError(msg)
    return "\t".join((record.name, record.description, *record.genes)) + "\n"


def _compress(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
