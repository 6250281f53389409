"""Cells by one or several columns of ``obs``."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from anndata import AnnData

MAX_GROUPS = 100  # more are no groups but names of cells, or numbers


def groups_of(adata: AnnData, groupby: str | Sequence[str]) -> pd.Series:
    """Groups of the cells as used categories, in the order of ``obs``; of several columns, joined with ``" | "``.

    A cell without a value in any of the columns has no group. The name of the series names the columns.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If a column holds numbers, no cell has a group, or there are over 100 groups.
    """
    columns = [groupby] if isinstance(groupby, str) else [str(name) for name in groupby]
    if not columns or len(set(columns)) < len(columns):
        msg = f"groupby names columns of adata.obs, at least one and none twice; got {groupby!r}."
        raise ValueError(msg)
    group = _column(adata, columns[0])
    for name in columns[1:]:
        group = _joined(group, _column(adata, name))
    if group.isna().all():
        msg = f"No cell has a group in adata.obs[{groupby!r}]."
        raise ValueError(msg)
    if (n := len(group.cat.categories)) > MAX_GROUPS:
        msg = f"groupby={groupby!r} makes {n:,} groups; at most {MAX_GROUPS} can be read: choose a coarser column."
        raise ValueError(msg)
    return group


def without(group: pd.Series) -> str:
    """Words for the cells that have no group; empty where all have one."""
    n = int(group.isna().sum())
    return f"{n:,} without a group left out" if n else ""


def _column(adata: AnnData, name: str) -> pd.Series:
    if name not in adata.obs:
        msg = f"adata.obs has no column {name!r}; columns: {', '.join(map(repr, adata.obs.columns)) or 'none'}."
        raise KeyError(msg)
    column = adata.obs[name]
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        msg = (
            f"adata.obs[{name!r}] holds numbers; groupby needs groups. If they are names of groups: "
            f"adata.obs[{name!r}] = adata.obs[{name!r}].astype(str).astype('category')."
        )
        raise ValueError(msg)
    return column.astype("category").cat.remove_unused_categories()


def _joined(first: pd.Series, second: pd.Series) -> pd.Series:
    """Groups of two columns, in the order of the first, then of the second."""
    n = len(second.cat.categories)
    codes = first.cat.codes.to_numpy(dtype=int) * n + second.cat.codes.to_numpy(dtype=int)
    codes[first.isna() | second.isna()] = -1
    names = [f"{one} | {other}" for one in first.cat.categories for other in second.cat.categories]
    joined = pd.Categorical.from_codes(codes, pd.Index(range(len(names))))
    used = pd.Series(joined, index=first.index, name=f"{first.name} | {second.name}").cat.remove_unused_categories()
    return used.cat.rename_categories([names[code] for code in used.cat.categories])
