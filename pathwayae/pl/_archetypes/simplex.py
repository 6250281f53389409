"""Cells between the archetypes: a triangle for three, a regular polygon for any number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pathwayae._slots import archetypes as slots
from pathwayae._slots import keys
from pathwayae.core.gates import gated
from pathwayae.pl import _axes
from pathwayae.pl import _cells as cells
from pathwayae.pl._cells import LegendLoc, Palette

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from numpy.typing import NDArray


@gated()
def archetype_simplex(
    adata: AnnData,
    color: str | None = None,
    *,
    layer: str | None = None,
    cmap: str | Colormap = "viridis",
    norm: Normalize | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    palette: Palette | None = None,
    legend_loc: LegendLoc = "right margin",
    size: float | None = None,
    title: str | None = None,
    key: str = keys.ARCHETYPES,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw cells as mixtures of archetypes, which are the corners of a regular polygon.

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
    cmap
        Colour map of numbers, perceptually uniform by default.
    norm
        Scale of the colours, with limits of its own. ``None`` for a linear one.
    vmin
        Value at the low end of the colours. ``None`` to choose by the values.
    vmax
        Value at the high end of the colours. ``None`` to choose by the values.
    palette
        Colours of categories: by name, in their order, or the name of a colour map. ``None`` for those in
        ``uns["{color}_colors"]``, else colours that everybody can tell apart.
    legend_loc
        Where the names of categories stand: ``"right margin"``, ``"on data"`` (among their cells) or ``"none"``.
    size
        Area of a point in points². ``None`` to choose by the number of cells.
    title
        Title of the panel. ``None`` for the plot's own, if it has one.
    key
        Key of the archetypes.
    ax
        Axes to draw on. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    KeyError
        If there are no archetypes under `key`, or `color` is unknown.
    ValueError
        If there is one archetype only, `norm` comes with limits, `palette` lacks a colour, `legend_loc` is unknown, or
        `ax` is no Axes.

    Examples
    --------
    >>> ax = pae.pl.archetype_simplex(adata, "cell_type", show=False)
    >>> ax.get_legend().get_title().get_text()
    'cell_type'

    With colours of one's own, and names among the cells:

    >>> ax = pae.pl.archetype_simplex(adata, "cell_type", palette="Set2", legend_loc="on data", show=False)
    """
    colors = _axes.Colors(cmap, norm, vmin, vmax)
    above = _axes.titles([""], title)[0]
    weights = slots.weights(adata, key)
    k = weights.shape[1]
    if k < 2:
        msg = "There is one archetype only, so nothing lies between archetypes; fit two or more."
        raise ValueError(msg)
    found = cells.colored(adata, color, layer=layer, palette=palette, legend_loc=legend_loc)
    corners = polygon(k)
    points = weights.to_numpy(dtype=float) @ corners
    if k == 2:
        points[:, 1] += np.random.default_rng(0).uniform(-0.12, 0.12, len(points))
    inches = (cells.width(found, 4.0, legend_loc), cells.height(found, 2.2 if k == 2 else 4.0, legend_loc))
    ax = _axes.single(ax, inches, "compressed")
    ax.plot(*corners[[*range(k), 0]].T, color=_axes.GREY, lw=1, zorder=0)
    cells.draw(ax, points, found, size=size, colors=colors, legend_loc=legend_loc)
    names = cells.short(list(weights.columns))
    for name, (x, y) in zip(names, corners, strict=True):
        across = "left" if x > 0.1 else "right" if x < -0.1 else "center"
        along = "bottom" if y > 0.1 else "top" if y < -0.1 else "center"
        ax.text(1.05 * x, 1.05 * y, _axes.wrap(name, 18), ha=across, va=along, fontweight="bold")
    ax.set(xlim=(-1.25, 1.25), ylim=(-0.5, 0.5) if k == 2 else (-1.2, 1.2), aspect="equal")
    ax.set_axis_off()
    _axes.head(ax, above)
    _axes.finish(ax, show=show, save=save)
    return ax


def polygon(k: int) -> NDArray[np.float64]:
    """Corners of a regular polygon around 0, the first on top, clockwise, shape (k, 2); two lie left and right."""
    if k == 2:
        return np.array([[-1.0, 0.0], [1.0, 0.0]])
    angle = np.pi / 2 - 2 * np.pi * np.arange(k) / k
    return np.column_stack([np.cos(angle), np.sin(angle)])
