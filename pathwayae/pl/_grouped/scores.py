"""Mean scores of pathways in groups of cells: a heat map, or dots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pathwayae._slots import keys
from pathwayae.core.gates import gated
from pathwayae.pl import _axes, _groups, _sizes
from pathwayae.pl._grouped import score_groups

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

LARGEST = 120  # points², of all cells


@gated()
def scores(
    adata: AnnData,
    groupby: str | Sequence[str],
    components: str | Sequence[str] | None = None,
    *,
    n_pathways: int = 20,
    only: str | None = None,
    standard_scale: bool = True,
    dendrogram: bool = False,
    swap_axes: bool = False,
    cmap: str | Colormap = "RdBu_r",
    norm: Normalize | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    title: str | None = None,
    key: str = keys.DEFAULT,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw a heat map of mean scores, pathways × groups of cells.

    Pathways are ordered by the group in which they are highest, so that blocks show; groups keep the order of ``obs``,
    or that of the tree. The colours end at the 98th percentile of the absolute means, at 1 s.d. at the earliest, so
    that small differences look small, and at 2.5 s.d. at the latest, so that one small extreme group does not make all
    others pale; the pointed ends of the colour bar stand for what lies beyond. A prefix that all names share
    (``HALLMARK_``) is left out, and the middle of long names. Of more than 100 pathways those that differ most between
    the groups are drawn; the title says so.

    Parameters
    ----------
    adata
        A fitted or transformed AnnData. Read through :func:`pathwayae.get.scores_by_group`.
    groupby
        Column of ``obs`` with categories, strings or booleans, or several of them, whose values make groups together.
        Cells without a group are left out; the name of the axis says how many.
    components
        Names of components, free ones too. ``None`` for the `n_pathways` pathways whose scores differ most between
        the groups (share of their variance that lies between groups).
    n_pathways
        Number of components if `components` is ``None``, at most; the title says of how many.
    only
        Only pathways with this verdict of :func:`pathwayae.get.trust`, such as ``"used"``, if `components` is ``None``.
    standard_scale
        Standardise each component over the cells before taking means: colours then compare between rows, in s.d.
        from the mean of all cells.
    dendrogram
        Order the groups by average linkage of their means over all pathways, and draw the tree.
    swap_axes
        Draw pathways along the horizontal axis.
    cmap
        Diverging colour map; its centre is at 0.
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
        The image on it holds the means, in the order drawn.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, `groupby` is not in ``obs``, or a name is unknown.
    ValueError
        If `groupby` holds numbers, no cell has a group, there are over 100 groups, no pathway has the verdict `only`,
        or `norm` comes with limits.

    Examples
    --------
    >>> ax = pae.pl.scores(adata, "cell_type", show=False)
    >>> ax.get_xlabel()
    'cell_type (number of cells)'

    Cell types within conditions, with a tree:

    >>> adata.obs["half"] = ["a", "b"] * (adata.n_obs // 2)
    >>> ax = pae.pl.scores(adata, ["cell_type", "half"], dendrogram=True, show=False)

    Pathways by name, with limits of one's own:

    >>> ax = pae.pl.scores(adata, "cell_type", ["program_1", "program_2"], vmax=1, show=False)
    >>> ax.images[0].get_clim()
    (-1.0, 1.0)
    """
    colors = _axes.Colors(cmap, norm, vmin, vmax)
    one = score_groups.shown(
        adata,
        groupby,
        components,
        n_pathways=n_pathways,
        only=only,
        dendrogram=dendrogram,
        standardize=standard_scale,
        key=key,
    )
    above = _axes.titles([one.title], title)[0]
    ax, height, drawn = score_groups.panel(ax, one, swap_axes=swap_axes, beside=1.2)
    image = ax.imshow(drawn, aspect="auto", interpolation="nearest", **colors.scale_around_zero(one.limit()))
    ax.spines[:].set_visible(False)
    length = min(1.0, 1.9 / height)
    label = "mean score (s.d.)" if standard_scale else "mean score"
    extend = _axes.extend_of(image, drawn)
    ax.figure.colorbar(image, ax=ax, label=label, extend=extend, shrink=length, aspect=14, pad=0.02)
    _groups.draw_tree(ax, one.tree, "right" if swap_axes else "top")
    _axes.head(ax, above)
    _axes.finish(ax, show=show, save=save)
    return ax


@gated()
def scores_dotplot(
    adata: AnnData,
    groupby: str | Sequence[str],
    components: str | Sequence[str] | None = None,
    *,
    n_pathways: int = 20,
    only: str | None = None,
    threshold: float = 1.0,
    dendrogram: bool = False,
    swap_axes: bool = False,
    cmap: str | Colormap = "RdBu_r",
    norm: Normalize | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    title: str | None = None,
    key: str = keys.DEFAULT,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw mean scores and shares of high scores as dots, pathways × groups of cells.

    The colour of a dot is the mean of the group, in s.d. from the mean of all cells; its size is the share of the cells
    of the group that lie more than `threshold` s.d. above the mean of all cells.

    Pathways are ordered by the group in which they are highest, so that blocks show; groups keep the order of ``obs``,
    or that of the tree. The colours end at the 98th percentile of the absolute means, at 1 s.d. at the earliest, so
    that small differences look small, and at 2.5 s.d. at the latest, so that one small extreme group does not make all
    others pale; the pointed ends of the colour bar stand for what lies beyond. A prefix that all names share
    (``HALLMARK_``) is left out, and the middle of long names. Of more than 100 pathways those that differ most between
    the groups are drawn; the title says so.

    Parameters
    ----------
    adata
        A fitted or transformed AnnData. Read through :func:`pathwayae.get.scores_by_group`.
    groupby
        Column of ``obs`` with categories, strings or booleans, or several of them, whose values make groups together.
        Cells without a group are left out; the name of the axis says how many.
    components
        Names of components, free ones too. ``None`` for the `n_pathways` pathways whose scores differ most between
        the groups (share of their variance that lies between groups).
    n_pathways
        Number of components if `components` is ``None``, at most; the title says of how many.
    only
        Only pathways with this verdict of :func:`pathwayae.get.trust`, such as ``"used"``, if `components` is ``None``.
    threshold
        A score is high if it is more than so many s.d. above the mean of all cells.
    dendrogram
        Order the groups by average linkage of their means over all pathways, and draw the tree.
    swap_axes
        Draw pathways along the horizontal axis.
    cmap
        Diverging colour map; its centre is at 0.
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
        The dots on it hold the means.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, `groupby` is not in ``obs``, or a name is unknown.
    ValueError
        If `groupby` holds numbers, no cell has a group, there are over 100 groups, no pathway has the verdict `only`,
        `threshold` is not finite, or `norm` comes with limits.

    Examples
    --------
    >>> ax = pae.pl.scores_dotplot(adata, "cell_type", threshold=1.5, dendrogram=True, show=False)
    >>> ax.get_legend().get_title().get_text()
    'cells over 1.5 s.d.'
    """
    colors = _axes.Colors(cmap, norm, vmin, vmax)
    one = score_groups.shown(
        adata,
        groupby,
        components,
        n_pathways=n_pathways,
        only=only,
        dendrogram=dendrogram,
        threshold=threshold,
        key=key,
    )
    above = _axes.titles([one.title], title)[0]
    ax, _, drawn = score_groups.panel(ax, one, swap_axes=swap_axes, beside=1.6)
    high = one.high.to_numpy().T if swap_axes else one.high.to_numpy()
    rows, columns = np.indices(drawn.shape)
    steps = [step for step in (0.1, 0.25, 0.5, 1.0) if step <= high.max()] or [0.1]
    steps = [*steps, *[step for step in (0.25, 0.5, 1.0) if step > steps[-1]][:1]]
    area = LARGEST / steps[-1]
    scale = colors.scale_around_zero(one.limit())
    look: dict[str, Any] = {"edgecolors": "0.25", "linewidths": 0.5}
    dots = ax.scatter(columns.ravel(), rows.ravel(), s=area * high.ravel(), c=drawn.ravel(), **look, **scale)
    _sizes.legend_and_bar(
        ax,
        dots,
        [area * step for step in steps],
        [f"{100 * step:g} %" for step in steps],
        title=f"cells over {threshold:g} s.d.",
        label="mean score (s.d.)",
        extend=_axes.extend_of(dots, drawn),
        gap=_groups.TREE if one.tree is not None and swap_axes else 0.0,
    )
    _groups.draw_tree(ax, one.tree, "right" if swap_axes else "top")
    _axes.head(ax, above)
    _axes.finish(ax, show=show, save=save)
    return ax
