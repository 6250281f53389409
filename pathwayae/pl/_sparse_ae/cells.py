"""Cells in which a latent of a sparse autoencoder fires, on an embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pathwayae import get
from pathwayae._slots import keys, lookup
from pathwayae.core.gates import gated
from pathwayae.pl import _axes, _points

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from numpy.typing import NDArray

SILENT = "#DDDDDD"


@gated(n_cells=0)
def latent_cells(
    adata: AnnData,
    latents: str | Sequence[str],
    *,
    n_cells: int = 20,
    basis: str = "X_umap",
    dims: tuple[int, int] = (0, 1),
    cmap: str | Colormap = "viridis_r",
    norm: Normalize | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    size: float | None = None,
    title: str | Sequence[str] | None = None,
    ncols: int = 3,
    key: str = keys.SPARSE_AE,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes | NDArray[np.object_]:
    """Draw cells on an embedding, coloured where a latent fires, with the cells in which it fires most circled.

    Cells in which it does not fire are grey. The colours end at the 99th percentile of the activations above 0.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.sparse_ae`` or ``pae.tl.transform``. Read through :func:`pathwayae.get.scores`.
    latents
        Names of latents, one panel each.
    n_cells
        Cells to circle, at most: those with the largest activation. 0 for none.
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
        One Axes for one latent given as a string, else an array. Its collections are the silent cells, those in which
        the latent fires, and the circles.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a name or `basis` is unknown.
    ValueError
        If `n_cells` is negative, the basis has no such columns, `norm` comes with limits, or `title` or `ax` does not
        match the number of panels.

    Examples
    --------
    >>> axes = pae.pl.latent_cells(adata, ["latent_3", "latent_8"], n_cells=10, show=False)
    >>> axes.shape
    (2,)
    """
    if n_cells < 0:
        msg = f"n_cells must be at least 0, got {n_cells}."
        raise ValueError(msg)
    colors = _axes.Colors(cmap, norm, vmin, vmax)
    lookup.fit_of(adata, key, keys.SPARSE_AE)
    table = get.scores(adata, latents, key=key)
    titles = _axes.titles([_axes.wrap(str(latent), 30) for latent in table], title)
    points = _points.places(adata, basis, dims)
    area = _points.area(len(points), size)
    axes, _ = _points.grid(ax, points, titles, ncols)
    for panel, latent, above in zip(axes, table, titles, strict=True):
        _panel(panel, points, table[latent].to_numpy(dtype=float), n_cells=n_cells, area=area, colors=colors)
        panel.set_title(above, fontsize="medium")
        _points.name_axes(panel, basis, dims)
        panel.set_aspect("equal")
    _axes.finish(axes, show=show, save=save)
    return axes[0] if isinstance(latents, str) else np.asarray(axes, dtype=object)


def _panel(
    ax: Axes,
    points: NDArray[np.float64],
    values: NDArray[np.float64],
    *,
    n_cells: int,
    area: float,
    colors: _axes.Colors,
) -> None:
    fires = values > 0
    x, y = points[~fires].T
    ax.scatter(x, y, s=area, color=SILENT, linewidths=0, rasterized=True)
    order = np.flatnonzero(fires)[np.argsort(values[fires], kind="stable")]
    high = float(np.percentile(values[fires], 99)) if fires.any() else 1.0
    style = {"s": area, "linewidths": 0, "rasterized": True, **colors.scale(0.0, high)}
    x, y = points[order].T
    cells = ax.scatter(x, y, c=values[order], **style)
    x, y = points[order[::-1][:n_cells]].T
    ax.scatter(x, y, s=max(2.5 * area, 16), facecolors="none", edgecolors=_axes.VERMILLION, linewidths=0.7)
    label = f"activation ({fires.sum():,} of {len(values):,} cells)"
    _points.color_bar(ax, cells, label, colors=colors, extend="max")
