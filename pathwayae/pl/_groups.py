"""Cells by a column of ``obs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from anndata import AnnData


def groups_of(adata: AnnData, groupby: str) -> pd.Series:
    """Groups of the cells as used categories, in the order of ``obs``."""
    if groupby not in adata.obs:
        msg = f"adata.obs has no column {groupby!r}; columns: {', '.join(map(repr, adata.obs.columns)) or 'none'}."
        raise KeyError(msg)
    column = adata.obs[groupby]
    if pd.api.types.is_float_dtype(column):
        msg = f"adata.obs[{groupby!r}] holds numbers; groupby needs groups."
        raise ValueError(msg)
    group = column.astype("category").cat.remove_unused_categories()
    if group.isna().all():
        msg = f"No cell has a group in adata.obs[{groupby!r}]."
        raise ValueError(msg)
    return group
