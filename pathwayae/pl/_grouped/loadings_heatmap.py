"""Loadings of the leading genes of several components, clustered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pathwayae import get
from pathwayae._slots import keys
from pathwayae._slots.leading import leading
from pathwayae.core.gates import gated
from pathwayae.pl import _axes, _groups, _names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from numpy.typing import NDArray

MAX_COLUMNS = 60


@gated()
def loadings_heatmap(
    adata: AnnData,
    components: str | Sequence[str] | None = None,
    *,
    n_components: int = 12,
    n_genes: int = 4,
    cmap: str | Colormap = "RdBu_r",
    norm: Normalize | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    title: str | None = None,
    key: str = keys.DEFAULT,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw a heat map of loadings, genes × components, like ones next to each other; dots mark annotated members.

    Rows are the genes that load most on any of the components. Colours are loadings over the largest absolute one of
    their component. Both sides are ordered by average linkage of cosine distances.

    Parameters
    ----------
    adata
        A fitted AnnData. Read through :func:`pathwayae.get.loadings` and :func:`pathwayae.get.gene`.
    components
        Names of components. ``None`` for the `n_components` pathways that come first in :func:`pathwayae.pl.loadings`.
        Of more than 60 the first are drawn; the title says so.
    n_components
        Number of pathways if `components` is ``None``, at most; the title says of how many.
    n_genes
        Number of genes of each component; fewer where there would be more than 100 rows.
    cmap
        Diverging colour map; its centre is at 0.
    norm
        Scale of the colours, with limits of its own. ``None`` for a linear one.
    vmin
        Value at the low end of the colours. ``None`` to choose by the values.
    vmax
        Value at the high end of the colours. ``None`` to choose by the values.
    title
        Title of the panel. ``None`` for the plot's own, if it has one.
    key
        Key of the fit.
    ax
        Axes to draw on. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    matplotlib.axes.Axes
        The image on it holds the colours, in the order drawn.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a name is unknown.
    ValueError
        If `n_components` or `n_genes` is below 1, no gene loads on the components, or `norm` comes with limits.

    Examples
    --------
    >>> ax = pae.pl.loadings_heatmap(adata, ["program_1", "program_2"], n_genes=5, show=False)
    >>> len(ax.get_xticklabels())
    2
    """
    colors = _axes.Colors(cmap, norm, vmin, vmax)
    for name, value in (("n_components", n_components), ("n_genes", n_genes)):
        if value < 1:
            msg = f"{name} must be at least 1, got {value}."
            raise ValueError(msg)
    first = leading(adata, key, min(n_components, MAX_COLUMNS))
    named = first.names if components is None else get.component_names(adata, components, key=key)
    own = f"{MAX_COLUMNS} of {len(named):,} components, the first" if len(named) > MAX_COLUMNS else ""
    above = _axes.titles([first.title if components is None else own], title)[0]
    chosen = named[:MAX_COLUMNS]
    values, member, genes = _values(adata, chosen, n_genes, key)
    rows, columns = _order(values), _order(values.T)
    values, member = values[np.ix_(rows, columns)], member[np.ix_(rows, columns)]
    names = [_axes.plain(genes[i]) for i in rows]
    below = _names.labels([chosen[j] for j in columns], 30, 2)
    height, width = max(1.6, 0.18 * len(names)), max(1.2, _axes.pitch(below, 0.3) * len(below))
    ax = _axes.single(ax, (width + _axes.room(names) + 1.5, max(3.2, height + _axes.room(below) + 0.6)))
    image = ax.imshow(values, aspect="auto", interpolation="nearest", **colors.scale_around_zero(1.0))
    at = np.argwhere(member)
    label = "annotated member"
    ax.plot(at[:, 1], at[:, 0], linestyle="none", marker="o", ms=3, mfc="white", mec="black", mew=0.7, label=label)
    ax.set_yticks(range(len(names)), names, fontsize="small")
    ax.set_xticks(range(len(below)), below, rotation=90, fontsize="small")
    ax.set(xlim=(-0.5, len(below) - 0.5), ylim=(len(names) - 0.5, -0.5))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    length, extend = min(1.0, 1.9 / height), _axes.extend_of(image, values)
    words = "loading (of the largest)"
    ax.figure.colorbar(image, ax=ax, label=words, extend=extend, shrink=length, aspect=14, pad=0.02)
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small", borderpad=0.1)
    _axes.head(ax, above, pad=20)
    _axes.finish(ax, show=show, save=save)
    return ax


def _values(
    adata: AnnData, chosen: list[str], n_genes: int, key: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_], list[str]]:
    """Loadings over the largest of their component, which are members, and the genes, as many as there is room for."""
    top = get.top_genes(adata, chosen, n_genes=n_genes, key=key)
    while (genes := list(dict.fromkeys(top["gene"]))) and len(genes) > _axes.MAX_ROWS:
        top = top[top["rank"] < top["rank"].max()]
    if not genes:
        msg = "No gene loads on these components, so there is nothing to draw; name others."
        raise ValueError(msg)
    tables = [get.gene(adata, one, key=key).set_index("component").loc[chosen] for one in genes]
    values = np.array([table["share"].to_numpy(dtype=float) for table in tables])
    return values, np.array([table["member"].to_numpy(dtype=bool) for table in tables]), genes


def _order(values: NDArray[np.float64]) -> list[int]:
    """Order of rows by the cosine of each two; rows of zeros are far from all."""
    size = np.linalg.norm(values, axis=1, keepdims=True)
    return _groups.order(_groups.tree(values / np.where(size > 0, size, 1.0)), len(values))
