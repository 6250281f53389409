"""Progress bars on long work: where somebody watches, and gone when it is done."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def bar(what: str, unit: str, total: int | None = None, *, progress: bool, items: Iterable[Any] | None = None) -> Any:
    """A bar on the standard error, to advance by ``update`` or to iterate over.

    Parameters
    ----------
    what, unit
        Title, and what is counted.
    total
        Of the units, None where nobody knows.
    progress
        Whether the user wants one. Where the standard error is a file or a pipe there is none either.
    items
        What to iterate over.

    Examples
    --------
    >>> list(bar("squares", "numbers", 3, progress=False, items=(i * i for i in range(3))))
    [0, 1, 4]
    """
    return tqdm(items, total=total, desc=what, unit=f" {unit}", disable=not (progress and watched()), leave=False)


def watched() -> bool:
    """Whether the standard error is a terminal or the page of a notebook, which says that it is no terminal."""
    stream = sys.stderr
    return stream is not None and (stream.isatty() or type(stream).__module__.startswith("ipykernel."))
