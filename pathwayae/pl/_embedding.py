"""Scores on an embedding of the cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from pathwayae import get
from pathwayae._slots import keys
from pathwayae.pl import _axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

WIDTH = 2.5  # of a panel without its colour bar, in inches


def embedding(
    adata: AnnData,
    color: str | Sequence[str],
    *,
    basis: str = "X_umap",
    dims: tuple[int, int] = (0, 1),
    percentiles: tuple[float, float] = (1.0, 99.0),
    size: float | None = None,
    cmap: str = "viridis",
    ncols: int = 3,
    key: str = keys.DEFAULT,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
) -> Axes | NDArray[np.object_]:
    """Cells on two axes of an embedding, coloured by their scores; high scores are drawn on top.

    Both axes have the same scale; a new figure takes the shape of its panels from the embedding.

    Parameters
    ----------
    adata
        A fitted or transformed AnnData. Read through :func:`pathwayae.get.scores`.
    color
        Names of components, one panel each.
    basis
        Name in ``obsm``; ``"umap"`` stands for ``"X_umap"``.
    dims
        Columns of the basis for the horizontal and vertical axis.
    percentiles
        Percentiles of the scores at the two ends of the colour bar, so that a few extreme cells do not wash out the
        rest.
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
        One Axes for one pathway given as a string, else an array.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a name or `basis` is unknown.
    ValueError
        If the basis has no such columns, or `ax` does not match the number of panels.

    Examples
    --------
    >>> pae.pl.embedding(adata, ["HALLMARK_HYPOXIA", "free_1"], basis="X_pca")  # doctest: +SKIP
    """
    chosen = get.component_names(adata, color, key=key)
    points = _points(adata, basis, dims)
    table = get.scores(adata, key=key)
    titles = [_axes.wrap(component, 30) for component in chosen]
    above = 0.4 + 0.2 * max(title.count("\n") for title in titles)
    height = WIDTH * _shape(points)
    axes, figure = _axes.panels(
        ax, len(chosen), ncols=ncols, size=(WIDTH + 1.1, height + 0.3 + above), layout="compressed"
    )
    if figure is not None:
        figure.get_layout_engine().set(h_pad=0.08)
    area = float(np.clip(12_000 / max(len(points), 1), 0.5, 12)) if size is None else size
    name = basis.removeprefix("X_").upper() if "umap" in basis.lower() else basis.removeprefix("X_")
    for panel, component, title in zip(axes, chosen, titles, strict=True):
        values = table[component].to_numpy()
        low, high = np.nanpercentile(values, percentiles) if len(values) else (0.0, 1.0)
        order = np.argsort(values, kind="stable")
        cells = panel.scatter(
            *points[order].T,
            c=values[order],
            s=area,
            cmap=cmap,
            vmin=low,
            vmax=high if high > low else low + 1.0,
            linewidths=0,
            rasterized=True,
        )
        panel.set_title(title, fontsize="medium")
        panel.set_xlabel(f"{name} {dims[0] + 1}", fontsize="small", loc="left")
        panel.set_ylabel(f"{name} {dims[1] + 1}", fontsize="small", loc="bottom")
        panel.set(xticks=[], yticks=[], aspect="equal")
        _axes.bare(panel)
        bar = panel.figure.colorbar(cells, ax=panel, label="score", extend="both", shrink=0.7, aspect=14, pad=0.02)
        bar.ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    _axes.finish(show=show)
    return axes[0] if isinstance(color, str) else np.asarray(axes, dtype=object)


def _shape(points: NDArray[np.float64]) -> float:
    """Height of the embedding over its width, within what a page can take."""
    finite = points[np.isfinite(points).all(axis=1)]
    width, height = np.ptp(finite, axis=0) if len(finite) else (0.0, 0.0)
    return float(np.clip(height / width, 0.45, 1.8)) if min(width, height) > 0 else 1.0


def _points(adata: AnnData, basis: str, dims: tuple[int, int]) -> NDArray[np.float64]:
    """Two columns of an embedding."""
    name = basis if basis in adata.obsm else f"X_{basis}"
    if name not in adata.obsm:
        msg = f"adata.obsm has no {basis!r}; found: {', '.join(map(repr, adata.obsm)) or 'none'}."
        raise KeyError(msg)
    values = np.asarray(adata.obsm[name], dtype=float)
    if len(dims) != 2 or min(dims) < 0 or max(dims) >= values.shape[1]:
        msg = f"dims must be two columns of adata.obsm[{name!r}], which has {values.shape[1]}; got {dims}."
        raise ValueError(msg)
    return values[:, list(dims)]


def embedding_name(adata: AnnData, basis: str) -> str:
    """Name of an embedding in ``obsm``, with or without its ``X_``.

    Raises
    ------
    KeyError
        If there is none.
    """
    name = basis if basis in adata.obsm else f"X_{basis}"
    if name not in adata.obsm:
        msg = f"adata.obsm has no {basis!r}; found: {', '.join(map(repr, adata.obsm)) or 'none'}."
        raise KeyError(msg)
    return name
