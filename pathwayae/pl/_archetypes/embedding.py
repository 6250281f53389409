"""Archetypes on an embedding of the cells, with the archetypes of cells drawn again."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import matplotlib.patheffects as effects
import numpy as np

from pathwayae._slots import archetypes as slots
from pathwayae._slots import keys, lookup
from pathwayae.core.gates import gated
from pathwayae.pl import _axes, _points
from pathwayae.pl import _cells as cells
from pathwayae.pl._archetypes.positions import positions
from pathwayae.pl._cells import LegendLoc, Palette

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize


@gated()
def archetypes(
    adata: AnnData,
    color: str | None = None,
    *,
    draws: bool | None = None,
    basis: str = "X_umap",
    dims: tuple[int, int] = (0, 1),
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
    """Draw archetypes and cells on two axes of an embedding.

    On the embedding that they were fitted to, archetypes lie where they are and lines join them. On another one, such
    as a UMAP, each lies at the mean of its nearest cells. Small crosses are the archetypes of cells drawn with
    replacement: the tighter its crosses, the surer an archetype.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.archetypes``, and for crosses after ``pae.tl.archetype_trust``.
    color
        A column of ``obs``, a gene or a component of ``pae.tl.fit``. ``None``: all cells in grey.
    draws
        Whether to draw crosses. ``None``: where there are any.
    basis
        Name in ``obsm``; ``"umap"`` stands for ``"X_umap"``.
    dims
        Columns of the basis for the horizontal and vertical axis.
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
        If there are no archetypes under `key`, `basis` or `color` is unknown, or draws are asked for and not there.
    ValueError
        If the basis has no such columns, `norm` comes with limits, `palette` lacks a colour, `legend_loc` is unknown,
        or `ax` is no Axes.

    Examples
    --------
    >>> ax = pae.pl.archetypes(adata, "cell_type", basis="pca", show=False)
    >>> ax.get_xlabel()
    'PCA 1'

    A gene in colours of its own range, without the crosses:

    >>> ax = pae.pl.archetypes(adata, "gene_1", draws=False, cmap="magma", vmin=0, vmax=3, show=False)
    """
    colors = _axes.Colors(cmap, norm, vmin, vmax)
    above = _axes.titles([""], title)[0]
    weights = slots.weights(adata, key)
    entry = lookup.fit_of(adata, key, keys.ARCHETYPES)
    there = keys.BOOTSTRAP in entry
    places = positions(adata, basis, draws=there if draws is None else draws, key=key)
    points = _points.places(adata, basis, dims)
    found = cells.colored(adata, color, layer=layer, palette=palette, legend_loc=legend_loc)
    ax = _axes.single(ax, (cells.width(found, 4.4, legend_loc), cells.height(found, 4.2, legend_loc)))
    cells.draw(ax, points, found, size=size, colors=colors, legend_loc=legend_loc)
    at = places[places["draw"] < 0].set_index("archetype")[list(dims)]
    name = _points.name_of(adata, basis)
    if name == str(entry[keys.PARAMS]["obsm"]):
        for one, other in combinations(at.to_numpy(), 2):
            ax.plot(*np.array([one, other]).T, color=_axes.GREY, lw=0.8, alpha=0.6, zorder=1)
    drawn = places[places["draw"] >= 0]
    ax.scatter(drawn[dims[0]], drawn[dims[1]], marker="x", s=16, lw=0.7, color="black", alpha=0.7, zorder=4)
    edge = [effects.withStroke(linewidth=3, foreground="white")]
    for label, (x, y) in zip(cells.short(list(weights.columns)), at.to_numpy(), strict=True):
        ax.plot(x, y, "D", ms=7, color="white", mec="black", mew=1.2, zorder=3)
        ax.annotate(label, (x, y), (6, 5), textcoords="offset points", fontweight="bold", path_effects=edge, zorder=5)
    _points.name_axes(ax, name, dims)
    _axes.head(ax, above)
    _axes.finish(ax, show=show, save=save)
    return ax
