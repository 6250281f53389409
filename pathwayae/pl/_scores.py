"""Mean scores of pathways in groups of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pathwayae import _keys, get
from pathwayae.pl import _axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes


def scores(
    adata: AnnData,
    groupby: str,
    *,
    pathways: str | Sequence[str] | None = None,
    n_pathways: int = 20,
    key: str = _keys.DEFAULT,
    standard_scale: bool = True,
    cmap: str = "RdBu_r",
    ax: Axes | None = None,
    show: bool | None = None,
) -> Axes:
    """Heat map of mean scores, pathways × groups of cells.

    Pathways are ordered by the group in which they are highest, so that blocks show; groups keep the order of ``obs``.

    Parameters
    ----------
    adata
        A fitted or transformed AnnData. Read through :func:`pathwayae.get.scores`.
    groupby
        Column of ``obs``: categories, strings or booleans. Cells without a group are left out.
    pathways
        Names of components. ``None`` for the `n_pathways` whose scores differ most between the groups (share of
        their variance that lies between groups).
    n_pathways
        Number of components if `pathways` is ``None``.
    key
        Key of the fit.
    standard_scale
        Standardise each component over the cells before taking means, so that colours compare between rows.
    cmap
        Diverging colour map; its centre is at 0.
    ax
        Axes to draw on. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.

    Returns
    -------
    matplotlib.axes.Axes
        The image on it holds the means, in the order drawn.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, `groupby` is not in ``obs``, or a name is unknown.
    ValueError
        If `groupby` holds numbers with fractions, or no cell has a group.

    Examples
    --------
    >>> pae.pl.scores(adata, "cell_type", n_pathways=30)  # doctest: +SKIP
    """
    group = _groups(adata, groupby)
    if n_pathways < 1:
        msg = f"n_pathways must be at least 1, got {n_pathways}."
        raise ValueError(msg)
    table = get.scores(adata, key=key).astype(float)
    if pathways is not None:
        table = table[get.component_names(adata, pathways, key=key)]
    means, between = _means(table, group, standard_scale=standard_scale)
    if pathways is None:
        means = means.loc[between.sort_values(ascending=False, kind="stable").index[:n_pathways]]
    best = means.to_numpy().argmax(axis=1)
    means = means.iloc[np.lexsort((-means.to_numpy().max(axis=1), best))]
    counts = group.value_counts(sort=False)
    ax = _axes.single(ax, (3.9 + 0.42 * means.shape[1], 1.9 + 0.27 * means.shape[0]))
    limit = float(np.abs(means.to_numpy()).max()) or 1.0
    image = ax.imshow(means.to_numpy(), cmap=cmap, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    ax.set_yticks(range(len(means)), [_axes.wrap(name, 42) for name in means.index], fontsize="small")
    labels = [f"{_axes.wrap(str(name), 26)} ({counts[name]:,})" for name in means.columns]
    ax.set_xticks(range(means.shape[1]), labels, rotation=90, fontsize="small")
    ax.set_xlabel(f"{groupby} (number of cells)")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    unit = "mean score\n(s.d. from the mean of all cells)" if standard_scale else "mean score"
    ax.figure.colorbar(image, ax=ax, label=unit, shrink=min(1.0, 7 / len(means)), aspect=14, pad=0.02)
    _axes.finish(show=show)
    return ax


def _groups(adata: AnnData, groupby: str) -> pd.Series:
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


def _means(table: pd.DataFrame, group: pd.Series, *, standard_scale: bool) -> tuple[pd.DataFrame, pd.Series]:
    """Mean per component and group, and the share of each component's variance between the groups."""
    spread = table.std(ddof=0).replace(0.0, 1.0)
    standard = (table - table.mean()) / spread
    means = standard.groupby(group, observed=True).mean().T
    share = group.value_counts(normalize=True, sort=False)
    between = (means**2).mul(share, axis=1).sum(axis=1)
    if not standard_scale:
        means = table.groupby(group, observed=True).mean().T
    return means, between
