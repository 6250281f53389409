"""What a page is made of: sections of words, tables and figures, without any markup."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from pathwayae._report.columns import COLUMNS

MAX_ROWS, MAX_CELLS = 300, 6000  # of a table on the page
LONGEST, TAIL = 140, 40  # characters of a name, and those of its end that are kept


class Cell(NamedTuple):
    """What is shown, the number behind it, and for lists of genes each with whether it is a member."""

    text: str
    value: float | None = None
    genes: tuple[tuple[str, bool], ...] = ()


class Column(NamedTuple):
    """Name in the table of ``get``, what the head of the column says, and what it means."""

    name: str
    label: str
    meaning: str
    numeric: bool


class Table(NamedTuple):
    """Rows of cells; ``n_rows`` are all of them, also those that there is no room for."""

    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    n_rows: int
    source: str


class Figure(NamedTuple):
    """A picture as PNG and the words for those who do not see it."""

    png: bytes
    alt: str
    caption: str


class Section(NamedTuple):
    """A part of the page."""

    slug: str
    title: str
    words: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    code: Sequence[tuple[str, str]] = ()


class Page(NamedTuple):
    """The whole page: figures of a line each under the title, what to be careful about, and the sections."""

    title: str
    facts: list[tuple[str, str]]
    words: list[str]
    warnings: list[str]
    not_asked: list[tuple[str, str]]
    sections: list[Section]


def table_of(frame: pd.DataFrame, caption: str, source: str, *, max_rows: int = MAX_ROWS) -> Table:
    """The first rows of a table of ``get``; ``source`` is the call that gives all of them."""
    names = [str(name) for name in frame.columns]
    shown = frame.head(min(max_rows, max(20, MAX_CELLS // max(len(names), 1))))
    cells = [
        [_cell(value, numeric=numeric, kind=COLUMNS.get(name, ("", "", ""))[1]) for value in shown.iloc[:, i]]
        for i, (name, numeric) in enumerate(zip(names, _numeric(frame), strict=True))
    ]
    rows = [list(row) for row in zip(*cells, strict=True)]
    columns = [_column(name, numeric=numeric) for name, numeric in zip(names, _numeric(frame), strict=True)]
    return Table(caption, columns, rows, len(frame), source)


def _numeric(frame: pd.DataFrame) -> list[bool]:
    return [dtype.kind in "fiu" for dtype in frame.dtypes]


def _column(name: str, *, numeric: bool) -> Column:
    label, _, meaning = COLUMNS.get(name, ("", "", ""))
    return Column(name, label or short(name.replace("_", " "), 60), meaning, numeric)


def _cell(value: Any, *, numeric: bool, kind: str) -> Cell:
    if isinstance(value, tuple):  # genes and whether they are members
        return Cell("", None, value)
    if numeric:
        number = float(value)
        return Cell("", None) if math.isnan(number) else Cell(number_text(number, kind), number)
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return Cell("yes" if value else "no")
    return Cell("" if pd.isna(value) else short(str(value)))


def number_text(number: float, kind: str) -> str:
    """A number for a reader: counts in full, shares in per cent, p-values with two digits."""
    if kind == "share":
        return f"{number:.1%}"
    if float(number).is_integer() and abs(number) < 1e15 and kind != "p":
        return f"{number:,.0f}"
    if kind == "p" or abs(number) < 1e-3:
        return f"{number:.2g}"
    return f"{number:,.2f}" if abs(number) < 1e6 else f"{number:.3g}"


def short(text: str, longest: int = LONGEST) -> str:
    """A text without its middle where it is very long, and without line breaks."""
    line = " ".join(text.split()) if len(text) <= longest else text
    if len(line) <= longest:
        return line
    tail = min(TAIL, longest // 3)
    return " ".join(f"{line[: longest - tail - 1]}…{line[-tail:]}".split())


def counted(n: int, noun: str) -> str:
    """A number of things, in the singular where it is one."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def records(frame: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """Rows as mappings."""
    return frame.to_dict("records")
