"""Cells as points of an embedding: what the plots on embeddings share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from pathwayae.pl import _axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

WIDTH = 2.5  # of a panel without its colour bar, in inches


def name_of(adata: AnnData, basis: str) -> str:
    """Name of an embedding in ``obsm``, with or without its ``X_``.

    Raises
    ------
    KeyError
        If there is none.
    """
    name = basis if basis in adata.obsm else f"X_{basis}"
    if name not in adata.obsm:
        msg = f"basis={basis!r}: adata.obsm has no such embedding; found: {', '.join(map(repr, adata.obsm)) or 'none'}."
        raise KeyError(msg)
    return name


def places(adata: AnnData, basis: str, dims: tuple[int, int]) -> NDArray[np.float64]:
    """Two columns of an embedding, shape (cells, 2).

    Raises
    ------
    KeyError
        If there is no such embedding.
    ValueError
        If it has no such columns.
    """
    name = name_of(adata, basis)
    values = np.asarray(adata.obsm[name], dtype=float)
    if len(dims) != 2 or min(dims) < 0 or max(dims) >= values.shape[1]:
        msg = f"dims must be two columns of adata.obsm[{name!r}], which has {values.shape[1]}; got {dims}."
        raise ValueError(msg)
    return values[:, list(dims)]


def grid(
    ax: Axes | Sequence[Axes] | None,
    points: NDArray[np.float64],
    titles: list[str],
    ncols: int,
    *,
    beside: float = 1.1,
    least: float = 0.0,
) -> tuple[list[Axes], Figure | None]:
    """Axes for a panel per title, in the shape of the embedding, ``beside`` for what is to its right."""
    above = 0.35 + 0.2 * max((title.count("\n") for title in titles), default=0)
    size = (WIDTH + beside, max(WIDTH * _shape(points), least) + 0.35 + above)
    axes, figure = _axes.panels(ax, len(titles), ncols=ncols, size=size, layout="compressed")
    engine = None if figure is None else figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(h_pad=0.08)
    return axes, figure


def area(n_cells: int, size: float | None) -> float:
    """Area of a point in points², by the number of cells where the user said nothing.

    Raises
    ------
    ValueError
        If the size asked for is not above 0.
    """
    if size is None:
        return float(np.clip(12_000 / max(n_cells, 1), 0.5, 12))
    if not 0 < size < np.inf:
        msg = f"size must be above 0, got {size}."
        raise ValueError(msg)
    return size


def name_axes(ax: Axes, name: str, dims: tuple[int, int]) -> None:
    """Small names at the beginning of the axes, which have no ticks: units of an embedding mean little."""
    shown = name.removeprefix("X_")
    shown = shown.upper() if shown.lower() in ("pca", "tsne") or "umap" in shown.lower() else shown
    ax.set_xlabel(f"{shown} {dims[0] + 1}", fontsize="small", loc="left")
    ax.set_ylabel(f"{shown} {dims[1] + 1}", fontsize="small", loc="bottom")
    ax.set(xticks=[], yticks=[])
    _axes.bare(ax)


def color_bar(
    ax: Axes, points: PathCollection, label: str, *, colors: _axes.Colors, extend: str = "both", pad: float = 0.02
) -> None:
    """Colour bar beside the panel, with few round numbers; a norm places its own."""
    bar = ax.figure.colorbar(points, ax=ax, label=label, extend=extend, shrink=0.7, aspect=14, pad=pad)
    if colors.norm is None:
        bar.ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def _shape(points: NDArray[np.float64]) -> float:
    """Height of the embedding over its width, within what a page can take."""
    finite = points[np.isfinite(points).all(axis=1)]
    width, height = np.ptp(finite, axis=0) if len(finite) else (0.0, 0.0)
    return float(np.clip(height / width, 0.45, 1.8)) if min(width, height) > 0 else 1.0
