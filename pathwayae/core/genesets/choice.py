"""Which sets are meant: by their names, or by a regular expression."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def chosen_names(sets: Mapping[str, object], names: Iterable[str] | None, regex: str | None) -> list[str]:
    """Names that are asked for, each once, in the order wanted.

    Parameters
    ----------
    sets
        Name → anything.
    names
        The names to keep.
    regex
        What to find in the names to keep. Give one of the two.

    Raises
    ------
    KeyError
        If a name is unknown.
    ValueError
        If `regex` is faulty or is found in no name, or not exactly one of the two is given.

    Examples
    --------
    >>> chosen_names({"T cells": 0, "B cells": 0, "hypoxia": 0}, None, "cells$")
    ['T cells', 'B cells']
    """
    if (names is None) == (regex is None):
        msg = "give either names or regex: the names of the sets to keep, or what to find in them."
        raise ValueError(msg)
    chosen = [names] if isinstance(names, str) else list(dict.fromkeys(names or ()))
    if regex is not None:
        try:
            chosen = [name for name in sets if re.search(regex, name)]
        except re.error as error:
            msg = f"regex={regex!r} is not a regular expression: {error}. re.escape(…) searches for it literally."
            raise ValueError(msg) from error
        if not chosen:
            msg = f"regex={regex!r} is found in none of {len(sets)} set names. '(?i)' at its start ignores the case."
            raise ValueError(msg)
    if unknown := [name for name in chosen if name not in sets]:
        near = difflib.get_close_matches(str(unknown[0]), sets, n=3, cutoff=0.5)
        hint = f" Did you mean {', '.join(map(repr, near))}?" if near else ""
        msg = f"{len(unknown)} name(s) are not in the collection, e.g. {unknown[0]!r}.{hint}"
        raise KeyError(msg)
    return chosen
