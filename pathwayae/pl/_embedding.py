"""Scores, and what else is known of cells, on an embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pathwayae._slots import keys, lookup
from pathwayae.core.gates import gated
from pathwayae.pl import _axes, _cells, _names, _points
from pathwayae.pl._cells import LegendLoc, Palette

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from numpy.typing import NDArray


@gated(percentiles=(0, 100))
def embedding(
    adata: AnnData,
    color: str | Sequence[str],
    *,
    percentiles: tuple[float, float] = (1.0, 99.0),
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
    title: str | Sequence[str] | None = None,
    ncols: int = 3,
    key: str = keys.DEFAULT,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes | NDArray[np.object_]:
    """Draw cells on two axes of an embedding, coloured by scores, columns of ``obs`` or genes.

    High numbers are drawn on top, groups in random order, so that none hides the others.

    Both axes have the same scale; a new figure takes the shape of its panels from the embedding.

    Parameters
    ----------
    adata
        A fitted or transformed AnnData. Read through :func:`pathwayae.get.scores`.
    color
        Names of components, of columns of ``obs`` or of genes, in any mixture, one panel each. A name of several is
        that of the component, then that of the column.
    percentiles
        Percentiles of the numbers at the two ends of the colours, so that a few extreme cells do not wash out the rest.
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
        One Axes for one name given as a string, else an array.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a name or `basis` is unknown.
    ValueError
        If the basis has no such columns, `color` is empty or repeats a name, `norm` comes with limits, `palette` lacks
        a colour, `legend_loc` is unknown, or `title` or `ax` does not match the number of panels.

    Examples
    --------
    >>> axes = pae.pl.embedding(adata, ["program_1", "program_2"], show=False)
    >>> axes.shape
    (2,)

    A pathway beside the cell types:

    >>> axes = pae.pl.embedding(adata, ["cell_type", "program_1"], show=False)

    From blue to red around 0, one panel:

    >>> ax = pae.pl.embedding(adata, "program_1", basis="pca", cmap="RdBu_r", vmin=-2, vmax=2, show=False)
    >>> ax.get_xlabel()
    'PCA 1'
    """
    colors = _axes.Colors(cmap, norm, vmin, vmax)
    chosen = [color] if isinstance(color, str) else [str(name) for name in color]
    if not chosen or len(set(chosen)) < len(chosen):
        msg = f"color names what to draw, at least one thing and none twice; got {color!r}."
        raise ValueError(msg)
    lookup.fit_of(adata, key)
    words: dict[str, Any] = {"layer": layer, "palette": palette, "legend_loc": legend_loc}
    found = [_cells.colored(adata, name, key=key, first=True, **words) for name in chosen]
    titles = _axes.titles(_names.titles(chosen, 30), title)
    points = _points.places(adata, basis, dims)
    beside = max([1.1, *(_cells.width(one, 0.0, legend_loc) for one in found if one is not None and one.groups)])
    least = max(_cells.height(one, 0.0, legend_loc) for one in found)
    axes, _ = _points.grid(ax, points, titles, ncols, beside=beside, least=least)
    for panel, one, above in zip(axes, found, titles, strict=True):
        look: dict[str, Any] = {"colors": colors, "legend_loc": legend_loc, "percentiles": percentiles, "pad": 0.02}
        label = one if one is None or one.groups else one._replace(label="score" if one.label == "score" else "value")
        _cells.draw(panel, points, label, size=size, **look)
        panel.set_title(above, fontsize="medium")
        _points.name_axes(panel, basis, dims)
        panel.set_aspect("equal")
    _axes.finish(axes, show=show, save=save)
    return axes[0] if isinstance(color, str) else np.asarray(axes, dtype=object)
