"""Which fit the scores of each cell are of: a column of ``obs``, so that cells joined from two fits are told apart."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from pathwayae._slots import keys

ID = re.compile(r"[0-9a-f]{16}")


def of_cells(n_cells: int, fit_id: str) -> pd.Categorical[Any]:
    """The mark of cells that all have scores of one fit."""
    return pd.Categorical.from_codes(np.zeros(n_cells, dtype=np.int8), categories=pd.Index([fit_id]))


def check_free(adata: AnnData, key: str) -> None:
    """Raise ValueError where the column of the mark holds something else."""
    column = keys.mark(key)
    if column in adata.obs and not all(ID.fullmatch(str(one)) for one in _marks(adata, column).categories):
        msg = f"adata.obs[{column!r}] is there already and is not of a fit; rename it, or choose another key_added."
        raise ValueError(msg)


def check_one_fit(adata: AnnData, key: str, fit_id: str) -> None:
    """Refuse cells that were joined from several fits, whose scores would stand under the names of one of them.

    Raises
    ------
    ValueError
        If some cells have the mark of another fit, or none beside cells with one.
    """
    column = keys.mark(key)
    if not fit_id or column not in adata.obs:
        return
    marks = _marks(adata, column)
    others = marks.codes != (marks.categories.get_loc(fit_id) if fit_id in marks.categories else -2)
    if not others.any():
        return
    first = int(np.flatnonzero(others)[0])
    msg = (
        f"{int(others.sum()):,} of {len(others):,} cells have scores of another fit than that of adata.uns[{key!r}]: "
        f"adata.obs[{column!r}] is {marks[first]!r} for {adata.obs_names[first]!r}, not {fit_id!r}. Their "
        "numbers would stand under wrong names. Score all cells by one fit (pae.tl.transform(adata, reference)), fit "
        f"them anew, or keep those of this fit: adata[adata.obs[{column!r}] == {fit_id!r}]."
    )
    raise ValueError(msg)


def _marks(adata: AnnData, column: str) -> pd.Categorical[Any]:
    values: Any = adata.obs[column]
    values = getattr(values, "array", values)
    return values if isinstance(values, pd.Categorical) else pd.Categorical(np.asarray(values, dtype=object))
