"""Stratum of every cell: columns of ``obs`` as text, each value its own."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pathwayae import _checks
from pathwayae._cells import dask
from pathwayae._cells.sources import Source

BETWEEN = " | "  # of the values of several columns


def labels(source: Source, keys: list[str]) -> NDArray[np.object_]:
    """Stratum of every cell: the values of one column of ``obs``, or of several joined with " | ".

    Raises
    ------
    KeyError
        If a column does not exist.
    ValueError
        If a cell has no value, or two values would be one as text.
    """
    parts = []
    for key in keys:
        with dask.in_this_process():
            column = np.asarray(source.column(key), dtype=object)
        parts.append(_checks.as_text(column, key, source.name))
    joined = pd.Series(parts[0])
    for part in parts[1:]:
        joined = joined + BETWEEN + part
    apart = pd.DataFrame(dict(enumerate(parts))).drop_duplicates()
    if joined[apart.index].duplicated().any():
        same = joined[apart.index][joined[apart.index].duplicated()].iloc[0]
        msg = (
            f"{source.name}: different values of {' and '.join(map(repr, keys))} make the same stratum {same!r}, since "
            f"some hold {BETWEEN!r}; rename them."
        )
        raise ValueError(msg)
    return joined.to_numpy(dtype=object)
