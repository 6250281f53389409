"""Cells in which a latent of a sparse autoencoder fires, on an embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from pathwayae import get
from pathwayae._slots import keys, store
from pathwayae.pl import _axes
from pathwayae.pl._embedding import WIDTH, _points, _shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

SILENT = "#DDDDDD"


def latent_cells(
    adata: AnnData,
    latents: str | Sequence[str],
    *,
    n_cells: int = 20,
    basis: str = "X_umap",
    dims: tuple[int, int] = (0, 1),
    size: float | None = None,
    cmap: str = "viridis_r",
    ncols: int = 3,
    key: str = keys.SPARSE_AE,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
) -> Axes | NDArray[np.object_]:
    """Cells on an embedding, coloured where a latent fires, with the cells in which it fires most circled.

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
    size
        Area of a point in points². ``None`` to choose by the number of cells.
    cmap
        Colour map, perceptually uniform by default.
    ncols
        Panels per row of a new figure.
    key
        Key of the fit.
    ax
        Axes to draw on; as many as panels. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.

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
        If `n_cells` is negative, the basis has no such columns, or `ax` does not match the number of panels.

    Examples
    --------
    >>> pae.pl.latent_cells(adata, ["latent_3", "latent_8"])  # doctest: +SKIP
    """
    if n_cells < 0:
        msg = f"n_cells must be at least 0, got {n_cells}."
        raise ValueError(msg)
    store.fit_of(adata, key, keys.SPARSE_AE)
    table = get.scores(adata, latents, key=key)
    points = _points(adata, basis, dims)
    height = WIDTH * _shape(points)
    axes, figure = _axes.panels(ax, table.shape[1], ncols=ncols, size=(WIDTH + 1.1, height + 0.75), layout="compressed")
    if figure is not None:
        figure.get_layout_engine().set(h_pad=0.08)
    area = float(np.clip(12_000 / max(len(points), 1), 0.5, 12)) if size is None else size
    name = basis.removeprefix("X_").upper() if "umap" in basis.lower() else basis.removeprefix("X_")
    for panel, latent in zip(axes, table, strict=True):
        _panel(panel, points, table[latent].to_numpy(dtype=float), n_cells, area, cmap)
        panel.set_title(_axes.wrap(str(latent), 30), fontsize="medium")
        panel.set_xlabel(f"{name} {dims[0] + 1}", fontsize="small", loc="left")
        panel.set_ylabel(f"{name} {dims[1] + 1}", fontsize="small", loc="bottom")
        panel.set(xticks=[], yticks=[], aspect="equal")
        _axes.bare(panel)
    _axes.finish(show=show)
    return axes[0] if isinstance(latents, str) else np.asarray(axes, dtype=object)


def _panel(
    ax: Axes, points: NDArray[np.float64], values: NDArray[np.float64], n_cells: int, area: float, cmap: str
) -> None:
    fires = values > 0
    ax.scatter(*points[~fires].T, s=area, color=SILENT, linewidths=0, rasterized=True)
    order = np.flatnonzero(fires)[np.argsort(values[fires], kind="stable")]
    high = float(np.percentile(values[fires], 99)) if fires.any() else 1.0
    cells = ax.scatter(
        *points[order].T, c=values[order], s=area, cmap=cmap, vmin=0.0, vmax=high, linewidths=0, rasterized=True
    )
    top = order[::-1][:n_cells]
    ax.scatter(*points[top].T, s=max(2.5 * area, 16), facecolors="none", edgecolors=_axes.VERMILLION, linewidths=0.7)
    label = f"activation ({fires.sum():,} of {len(values):,} cells)"
    bar = ax.figure.colorbar(cells, ax=ax, label=label, extend="max", shrink=0.7, aspect=14, pad=0.02)
    bar.ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
