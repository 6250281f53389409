"""Scores of components in groups of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from pathwayae._slots import keys
from pathwayae._slots.groups import groups_of
from pathwayae.core.gates import gated
from pathwayae.get._common import component_names, scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

N_AT_ONCE = 256  # components whose scores are taken as float64
VARIES = 1e-6  # of the largest score: a smaller spread is rounding of float32


@gated()
def scores_by_group(
    adata: AnnData,
    groupby: str | Sequence[str],
    components: str | Sequence[str] | None = None,
    *,
    threshold: float = 1.0,
    standardize: bool = True,
    key: str = keys.DEFAULT,
) -> pd.DataFrame:
    """Return mean, spread and share of high scores of each component in each group of cells.

    Parameters
    ----------
    adata
        A fitted or transformed AnnData. Reads ``obsm["X_{key}"]``.
    groupby
        Column of ``obs`` with categories, strings or booleans, or several of them, whose values make groups together.
        Cells without a value are left out of the groups, but not of what scores are standardised by.
    components
        Names of components, in the order wanted. ``None`` for all.
    threshold
        A score is high if it is more than so many s.d. above the mean of all cells.
    standardize
        Means and spreads in s.d. from the mean of all cells, so that components compare.
    key
        Key of the fit, of any model.

    Returns
    -------
    pandas.DataFrame
        One row per component and group: ``component``, ``group``, ``n_cells``, ``mean``, ``sd`` (of the cells of the
        group; 0 for a group of one cell), ``share_high`` (of the cells of the group), ``between`` (share of the
        variance of the component over the cells with a group that lies between the groups, the same for all groups; 0
        for a component that does not vary).

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, a column of `groupby` is not in ``obs``, or a name is unknown.
    ValueError
        If a column holds numbers, no cell has a group, there are over 100 groups, or `threshold` is not finite.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", progress=False)
    >>> table = pae.get.scores_by_group(adata, "cell_type", "program_1")
    >>> table.columns.tolist()
    ['component', 'group', 'n_cells', 'mean', 'sd', 'share_high', 'between']
    >>> int(table["n_cells"].sum())
    300
    """
    if not np.isfinite(threshold):
        msg = f"threshold must be a finite number of s.d., got {threshold}."
        raise ValueError(msg)
    group = groups_of(adata, groupby)
    names = component_names(adata, components, key=key)
    codes, n_groups = group.cat.codes.to_numpy(dtype=int), len(group.cat.categories)
    counts = np.bincount(codes[codes >= 0], minlength=n_groups)
    inside = np.flatnonzero(codes >= 0)
    averages = sparse.csr_array(
        (1.0 / counts[codes[inside]], (codes[inside], inside)), shape=(n_groups, len(codes)), dtype=float
    )
    parts = []
    for start in range(0, len(names), N_AT_ONCE):
        values = scores(adata, names[start : start + N_AT_ONCE], key=key).to_numpy(dtype=float)
        parts.append(_moments(values, averages, counts, threshold=threshold, standardize=standardize))
    mean, spread, high, between = (np.concatenate(one) for one in zip(*parts, strict=True))
    return pd.DataFrame(
        {
            "component": np.repeat(np.array(names, dtype=object), n_groups),
            "group": np.tile(np.array([str(one) for one in group.cat.categories], dtype=object), len(names)),
            "n_cells": np.tile(counts, len(names)),
            "mean": mean.ravel(),
            "sd": spread.ravel(),
            "share_high": high.ravel(),
            "between": np.repeat(between, n_groups),
        }
    )


def _moments(
    values: NDArray[np.float64],
    averages: sparse.csr_array,
    counts: NDArray[np.int64],
    *,
    threshold: float,
    standardize: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Means, spreads and shares of high scores, components × groups, and the share of variance between groups."""
    center, scale = values.mean(axis=0), values.std(axis=0)
    varies = scale > VARIES * np.abs(values).max(axis=0)
    standard = np.where(varies, (values - center) / np.where(varies, scale, 1.0), 0.0)
    mean = averages @ standard
    within = np.maximum(averages @ standard**2 - mean**2, 0.0)
    weight = counts / counts.sum()
    among = weight @ (mean - weight @ mean) ** 2
    total = among + weight @ within
    between = np.divide(among, total, out=np.zeros_like(total), where=total > 0)
    spread = np.sqrt(within)
    high = averages @ (standard > threshold)
    if not standardize:
        mean, spread = mean * np.where(varies, scale, 0.0) + center, spread * np.where(varies, scale, 0.0)
    return mean.T, spread.T, high.T, between
