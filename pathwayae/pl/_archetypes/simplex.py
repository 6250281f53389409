"""Cells between the archetypes: a triangle for three, a regular polygon for any number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pathwayae._slots import archetypes as slots
from pathwayae._slots import keys
from pathwayae.pl import _axes
from pathwayae.pl._archetypes import cells

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray


def archetype_simplex(
    adata: AnnData,
    *,
    color: str | None = None,
    layer: str | None = None,
    size: float | None = None,
    cmap: str = "viridis",
    key: str = keys.ARCHETYPES,
    ax: Axes | None = None,
    show: bool | None = None,
) -> Axes:
    """Cells as mixtures of archetypes, which are the corners of a regular polygon.

    A cell lies at the mean of the corners by its weights. With three archetypes this is the ternary plot and says all;
    with more, mixtures of different archetypes may fall onto the same place, above all in the middle, while cells on a
    side or in a corner are what they seem. Two archetypes are the ends of a line, along which cells are strewn in
    height at random.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.archetypes``. Reads ``obsm["X_{key}"]``.
    color
        A column of ``obs``, a gene or a component of ``pae.tl.fit``. ``None``: all cells in grey.
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
        If there are no archetypes under `key`, or `color` is unknown.
    ValueError
        If there is one archetype only, or `ax` is no Axes.

    Examples
    --------
    >>> pae.pl.archetype_simplex(adata, color="cell_type")  # doctest: +SKIP
    """
    weights = slots.weights(adata, key)
    k = weights.shape[1]
    if k < 2:
        msg = "There is one archetype only, so nothing lies between archetypes; fit two or more."
        raise ValueError(msg)
    found = cells.colored(adata, color, layer)
    corners = polygon(k)
    points = weights.to_numpy(dtype=float) @ corners
    if k == 2:
        points[:, 1] += np.random.default_rng(0).uniform(-0.12, 0.12, len(points))
    ax = _axes.single(ax, (cells.width(found, 4.0), 2.2 if k == 2 else 4.0))
    ax.plot(*corners[[*range(k), 0]].T, color=_axes.GREY, lw=1, zorder=0)
    cells.draw(ax, points, found, size=size, cmap=cmap)
    names = cells.short(list(weights.columns))
    for name, (x, y) in zip(names, corners, strict=True):
        across = "left" if x > 0.1 else "right" if x < -0.1 else "center"
        along = "bottom" if y > 0.1 else "top" if y < -0.1 else "center"
        ax.text(1.05 * x, 1.05 * y, _axes.wrap(name, 18), ha=across, va=along, fontweight="bold")
    ax.set(xlim=(-1.25, 1.25), ylim=(-0.5, 0.5) if k == 2 else (-1.2, 1.2), aspect="equal")
    ax.set_axis_off()
    _axes.finish(show=show)
    return ax


def polygon(k: int) -> NDArray[np.float64]:
    """Corners of a regular polygon around 0, the first on top, clockwise, shape (k, 2); two lie left and right."""
    if k == 2:
        return np.array([[-1.0, 0.0], [1.0, 0.0]])
    angle = np.pi / 2 - 2 * np.pi * np.arange(k) / k
    return np.column_stack([np.cos(angle), np.sin(angle)])
