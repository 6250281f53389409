"""Warnings that point at the user's own line, however deep in the package they arise."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable

_PACKAGE = __name__.partition(".")[0]


class DataWarning(UserWarning):
    """The data are usable, but probably not what was meant."""


def warn(message: str) -> None:
    """Give a :class:`DataWarning` with the position of the first caller outside the package.

    Parameters
    ----------
    message
        What happened, and what to do.

    Examples
    --------
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn("2 sets dropped")
    >>> str(caught[0].message)
    '2 sets dropped'
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, DataWarning, stacklevel=level)


def listed(names: Iterable[object], n_most: int = 3, *, quoted: bool = True) -> str:
    """Names for a message: the first few, and how many more there are.

    Examples
    --------
    >>> listed(["a", "b", "c"], 2)
    "'a', 'b' and 1 more"
    """
    given = [repr(str(name)) if quoted else printable(str(name)) for name in names]
    more = f" and {len(given) - n_most} more" if len(given) > n_most else ""
    return (", ".join(given[:n_most]) or "none") + more


def printable(text: str) -> str:
    r"""Text without what a terminal would obey: line breaks as blanks, other control characters as ``�``.

    Examples
    --------
    >>> printable("a\x1b[31m\nb")
    'a�[31m b'
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else " " if one.isspace() else "\ufffd" for one in text)
