"""Spread of scores within groups of cells, and the share of it that lies between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import PercentFormatter

from pathwayae import get
from pathwayae._slots import keys
from pathwayae.core.gates import gated
from pathwayae.pl import _axes, _groups, _names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

BESIDE = 1.3  # inches of the bars


@gated()
def variance_by_group(
    adata: AnnData,
    groupby: str | Sequence[str],
    components: str | Sequence[str] | None = None,
    *,
    n_pathways: int = 20,
    cmap: str | Colormap = "viridis",
    norm: Normalize | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    title: str | None = None,
    key: str = keys.DEFAULT,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw the spread of scores within each group of cells, with the share of their variance between groups beside.

    Colours are standard deviations of the cells of a group, where 1 is that of all cells. Bars are the share of the
    variance that lies between the groups (η² of a one-way analysis of variance): near 100 % the groups say all about a
    score, near 0 nothing.

    Parameters
    ----------
    adata
        A fitted or transformed AnnData. Read through :func:`pathwayae.get.scores_by_group`.
    groupby
        Column of ``obs`` with categories, strings or booleans, or several of them, whose values make groups together.
        Cells without a group are left out; the name of the axis says how many.
    components
        Names of components, free ones too. ``None`` for the `n_pathways` with the largest share between groups. Of more
        than 100 those are drawn; the title says so.
    n_pathways
        Number of components if `components` is ``None``, at most; the title says of how many.
    cmap
        Sequential colour map, from 0.
    norm
        Scale of the colours, with limits of its own. ``None`` for a linear one.
    vmin
        Value at the low end of the colours. ``None`` to choose by the values.
    vmax
        Value at the high end of the colours. ``None`` to choose by the values.
    title
        Title of the panel. ``None`` for the plot's own, if it has one.
    key
        Key of the fit.
    ax
        Axes to draw on. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    matplotlib.axes.Axes
        The image on it holds the spreads; the bars are in an inset to its right.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, a column of `groupby` is not in ``obs``, or a name is unknown.
    ValueError
        If `groupby` holds numbers, no cell has a group, there are over 100 groups, `n_pathways` is below 1, or `norm`
        comes with limits.

    Examples
    --------
    >>> ax = pae.pl.variance_by_group(adata, "cell_type", n_pathways=5, show=False)
    >>> ax.images[0].get_array().shape
    (5, 4)
    """
    colors = _axes.Colors(cmap, norm, vmin, vmax)
    if n_pathways < 1:
        msg = f"n_pathways must be at least 1, got {n_pathways}."
        raise ValueError(msg)
    group = _groups.groups_of(adata, groupby)
    table = get.scores_by_group(adata, groupby, components, key=key)
    between = table.drop_duplicates("component").set_index("component")["between"]
    between = between.sort_values(ascending=False, kind="stable")
    n_all, most = len(between), _axes.MAX_ROWS
    between = between[: most if components is not None else min(n_pathways, most)]
    words = f"{len(between):,} of {n_all:,} components, those with most variance between groups"
    above = _axes.titles([words if len(between) < n_all else ""], title)[0]
    spread = table.pivot_table(index="component", columns="group", values="sd", sort=False).loc[between.index]
    counts = table.drop_duplicates("group").set_index("group")["n_cells"]
    columns = _groups.labels(list(spread.columns), counts[spread.columns].tolist())
    many = len(spread) > 40
    rows = _names.labels(spread.index, 60 if many else 42, 1 if many else 2)
    height = max(1.6, _axes.pitch(rows, 0.17 if many else 0.27) * len(rows))
    width = max(1.2, _axes.pitch(columns, 0.42 if len(columns) < 13 else 0.24) * len(columns))
    label = _groups.title(group)
    width = _axes.wide(width, [above, label], min(_axes.room(rows), 2.0))
    size = (width + BESIDE + _axes.room(rows) + 1.4, max(3.2, height + _axes.room(columns) + 0.8))
    ax = _axes.single(ax, size)
    drawn = spread.to_numpy()
    scale = colors.scale(0.0, max(1.0, float(drawn.max())))
    image = ax.imshow(drawn, aspect="auto", interpolation="nearest", **scale)
    ax.set_yticks(range(len(rows)), rows, fontsize="small")
    ax.set_xticks(range(len(columns)), columns, rotation=90, fontsize="small")
    ax.set_xlabel(label)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    beside = _axes.inset(ax, "right", BESIDE, 0.1)
    beside.barh(np.arange(len(between)), between, height=0.72, color=_axes.BLUE)
    beside.set(yticks=[], ylim=ax.get_ylim(), xlim=(0, 1), xticks=[0, 0.5, 1], xlabel="between\ngroups")
    beside.xaxis.set_major_formatter(PercentFormatter(1.0, 0))
    beside.tick_params(labelsize="small")
    _axes.bare(beside)
    length, extend, words = min(1.0, 1.9 / height), _axes.extend_of(image, drawn), "s.d. within group"
    ax.figure.colorbar(image, ax=ax, label=words, extend=extend, shrink=length, aspect=14, pad=0.02)
    _axes.head(ax, above)
    _axes.finish(ax, show=show, save=save)
    return ax
