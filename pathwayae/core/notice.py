"""Warnings that point at the user's own line, however deep in the package they arise."""

from __future__ import annotations

import sys
import warnings

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
