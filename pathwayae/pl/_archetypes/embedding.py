"""Archetypes on an embedding of the cells, with the archetypes of cells drawn again."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import matplotlib.patheffects as effects
import numpy as np

from pathwayae._slots import archetypes as slots
from pathwayae._slots import keys, store
from pathwayae.pl import _axes
from pathwayae.pl._archetypes import cells as of_cells
from pathwayae.pl._archetypes.positions import positions

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes


def archetypes(
    adata: AnnData,
    *,
    basis: str = "X_umap",
    color: str | None = None,
    draws: bool | None = None,
    dims: tuple[int, int] = (0, 1),
    layer: str | None = None,
    size: float | None = None,
    cmap: str = "viridis",
    key: str = keys.ARCHETYPES,
    ax: Axes | None = None,
    show: bool | None = None,
) -> Axes:
    """Archetypes and cells on two axes of an embedding; small crosses are archetypes of cells drawn with replacement.

    On the embedding that they were fitted to, archetypes lie where they are and lines join them. On another one, such
    as a UMAP, each lies at the mean of its nearest cells. The tighter
    its crosses, the surer an archetype.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.archetypes``, and for crosses after ``pae.tl.archetype_trust``.
    basis
        Name in ``obsm``; ``"umap"`` stands for ``"X_umap"``.
    color
        A column of ``obs``, a gene or a component of ``pae.tl.fit``. ``None``: all cells in grey.
    draws
        Whether to draw crosses. ``None``: where there are any.
    dims
        Columns of the basis for the horizontal and vertical axis.
    layer
        Layer that values of a gene are taken from.
    size
        Area of a point in points². ``None`` to choose by the number of cells.
    cmap
        Colour map of numbers.
    key
        Key of the archetypes.
    ax
        Axes to draw on. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    KeyError
        If there are no archetypes under `key`, `basis` or `color` is unknown, or draws are asked for and not there.
    ValueError
        If the basis has no such columns, or `ax` is no Axes.

    Examples
    --------
    >>> pae.pl.archetypes(adata, basis="X_pca", color="cell_type")  # doctest: +SKIP
    """
    weights = slots.weights(adata, key)
    entry = store.fit_of(adata, key, keys.ARCHETYPES)
    name = basis if basis in adata.obsm else f"X_{basis}"
    there = keys.BOOTSTRAP in entry
    places = positions(adata, basis, draws=there if draws is None else draws, key=key)
    n_dims = places.shape[1] - 2
    if len(dims) != 2 or min(dims) < 0 or max(dims) >= n_dims:
        msg = f"dims must be two columns of adata.obsm[{name!r}], which has {n_dims}; got {dims}."
        raise ValueError(msg)
    found = of_cells.colored(adata, color, layer)
    ax = _axes.single(ax, (of_cells.width(found, 4.4), 4.2))
    cells = np.asarray(adata.obsm[name], dtype=float)[:, list(dims)]
    of_cells.draw(ax, cells, found, size=size, cmap=cmap)
    at = places[places["draw"] < 0].set_index("archetype")[list(dims)]
    if name == str(entry[keys.PARAMS]["obsm"]):
        for one, other in combinations(at.to_numpy(), 2):
            ax.plot(*np.array([one, other]).T, color=_axes.GREY, lw=0.8, alpha=0.6, zorder=1)
    drawn = places[places["draw"] >= 0]
    ax.scatter(drawn[dims[0]], drawn[dims[1]], marker="x", s=16, lw=0.7, color="black", alpha=0.7, zorder=4)
    edge = [effects.withStroke(linewidth=3, foreground="white")]
    for label, (x, y) in zip(of_cells.short(list(weights.columns)), at.to_numpy(), strict=True):
        ax.plot(x, y, "D", ms=7, color="white", mec="black", mew=1.2, zorder=3)
        ax.annotate(label, (x, y), (6, 5), textcoords="offset points", fontweight="bold", path_effects=edge, zorder=5)
    shown = name.removeprefix("X_")
    shown = shown.upper() if shown in ("umap", "pca", "tsne") else shown
    ax.set_xlabel(f"{shown} {dims[0] + 1}", fontsize="small", loc="left")
    ax.set_ylabel(f"{shown} {dims[1] + 1}", fontsize="small", loc="bottom")
    ax.set(xticks=[], yticks=[])
    _axes.bare(ax)
    _axes.finish(show=show)
    return ax
