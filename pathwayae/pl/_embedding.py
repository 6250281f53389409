"""Scores on an embedding of the cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pathwayae import get
from pathwayae._slots import keys
from pathwayae.pl import _axes, _names, _points

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from numpy.typing import NDArray


def embedding(
    adata: AnnData,
    color: str | Sequence[str],
    *,
    percentiles: tuple[float, float] = (1.0, 99.0),
    basis: str = "X_umap",
    dims: tuple[int, int] = (0, 1),
    cmap: str | Colormap = "viridis",
    norm: Normalize | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    size: float | None = None,
    title: str | Sequence[str] | None = None,
    ncols: int = 3,
    key: str = keys.DEFAULT,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes | NDArray[np.object_]:
    """Draw cells on two axes of an embedding, coloured by their scores; high scores are drawn on top.

    Both axes have the same scale; a new figure takes the shape of its panels from the embedding.

    Parameters
    ----------
    adata
        A fitted or transformed AnnData. Read through :func:`pathwayae.get.scores`.
    color
        Names of components, one panel each.
    percentiles
        Percentiles of the scores at the two ends of the colours, so that a few extreme cells do not wash out the rest.
    basis
        Name in ``obsm``; ``"umap"`` stands for ``"X_umap"``.
    dims
        Columns of the basis for the horizontal and vertical axis.
    cmap
        Colour map, perceptually uniform by default.
    norm
        Scale of the colours, with limits of its own. ``None`` for a linear one.
    vmin
        Value at the low end of the colours. ``None`` to choose by the values.
    vmax
        Value at the high end of the colours. ``None`` to choose by the values.
    size
        Area of a point in points². ``None`` to choose by the number of cells.
    title
        Titles, one per panel; a string for one panel. ``None`` for the plot's own.
    ncols
        Panels per row of a new figure.
    key
        Key of the fit.
    ax
        Axes to draw on; as many as panels. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    matplotlib.axes.Axes or numpy.ndarray of them
        One Axes for one component given as a string, else an array.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a name or `basis` is unknown.
    ValueError
        If the basis has no such columns, `norm` comes with limits, or `title` or `ax` does not match the number of
        panels.

    Examples
    --------
    >>> axes = pae.pl.embedding(adata, ["program_1", "program_2"], show=False)
    >>> axes.shape
    (2,)

    From blue to red around 0, one panel:

    >>> ax = pae.pl.embedding(adata, "program_1", basis="pca", cmap="RdBu_r", vmin=-2, vmax=2, show=False)
    >>> ax.get_xlabel()
    'PCA 1'
    """
    colors = _axes.Colors(cmap, norm, vmin, vmax)
    chosen = get.component_names(adata, color, key=key)
    titles = _axes.titles(_names.titles(chosen, 30), title)
    points = _points.places(adata, basis, dims)
    table = get.scores(adata, chosen, key=key)
    area = _points.area(len(points), size)
    axes, _ = _points.grid(ax, points, titles, ncols)
    for panel, component, above in zip(axes, chosen, titles, strict=True):
        values = table[component].to_numpy()
        low, high = np.nanpercentile(values, percentiles) if len(values) else (0.0, 1.0)
        order = np.argsort(values, kind="stable")
        style = {"s": area, "linewidths": 0, "rasterized": True, **colors.scale(low, high)}
        x, y = points[order].T
        cells = panel.scatter(x, y, c=values[order], **style)
        panel.set_title(above, fontsize="medium")
        _points.name_axes(panel, basis, dims)
        panel.set_aspect("equal")
        _points.color_bar(panel, cells, "score", colors=colors)
    _axes.finish(axes, show=show, save=save)
    return axes[0] if isinstance(color, str) else np.asarray(axes, dtype=object)
