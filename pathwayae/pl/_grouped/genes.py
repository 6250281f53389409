"""A gene over its components, and the leading genes of a component in groups of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pathwayae import get
from pathwayae._slots import keys
from pathwayae.core.gates import gated
from pathwayae.pl import _axes, _groups, _names
from pathwayae.pl._grouped.loadings import ADDED, CAP, FREE, MEMBER, SMALLEST, STYLE
from pathwayae.pl._grouped.score_groups import MAX_SD, MIN_SD

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from numpy.typing import NDArray

BESIDE = 1.1  # inches of the panel of loadings


@gated()
def gene(
    adata: AnnData,
    gene: str,
    *,
    n_components: int = 20,
    title: str | None = None,
    key: str = keys.DEFAULT,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw the loadings of one gene on the components that it loads on most.

    Pathways that name the gene are told from those that it goes with, and from free components. Components on which
    the gene loads with less than 1 % of its largest loading are left out; the title says of how many. After a fit with
    ``n_bootstrap`` whiskers are the 95 % intervals.

    Parameters
    ----------
    adata
        A fitted AnnData. Read through :func:`pathwayae.get.gene`.
    gene
        Name of the gene.
    n_components
        Number of components, at most.
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

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or there is no such gene.
    ValueError
        If the gene is outside the model, `n_components` is below 1, or `title` is no string.

    Examples
    --------
    >>> ax = pae.pl.gene(adata, "gene_1", n_components=5, show=False)
    >>> ax.get_xlabel()
    'loading of gene_1'
    """
    if n_components < 1:
        msg = f"n_components must be at least 1, got {n_components}."
        raise ValueError(msg)
    table = get.gene(adata, gene, key=key)
    n_all, size = len(table), table["loading"].abs()
    table = table[(size >= SMALLEST * size.max()) & (size > 0)][: min(n_components, _axes.MAX_ROWS)]
    shown = _axes.plain(gene)
    above = _axes.titles([f"{shown}: {len(table):,} of {n_all:,} components"], title)[0]
    names = _names.labels(table["component"], 42)
    height = max(0.8, _axes.pitch(names, 0.25) * len(table))
    ax = _axes.single(ax, (5.0 + _axes.room(names), 0.9 + height))
    _lollipops(ax, table)
    ax.set_yticks(range(len(names)), names, fontsize="small")
    ax.set_xlabel(f"loading of {shown}")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize="small")
    _axes.head(ax, above)
    _axes.finish(ax, show=show, save=save)
    return ax


@gated()
def leading_genes(
    adata: AnnData,
    component: str,
    groupby: str | Sequence[str],
    *,
    n_genes: int = 15,
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
    """Draw the mean expression of the leading genes of a component in groups of cells, with their loadings beside.

    Colours are means of the values that were fitted, of each gene in s.d. from the mean of all cells; they end at 1
    s.d. at the earliest, so that small differences look small, and at 2.5 s.d. at the latest.

    Parameters
    ----------
    adata
        A fitted AnnData. Read through :func:`pathwayae.get.leading_genes`.
    component
        Name of a pathway or free component.
    groupby
        Column of ``obs`` with categories, strings or booleans, or several of them, whose values make groups together.
        Cells without a group are left out; the name of the axis says how many.
    n_genes
        Number of genes, at most.
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
        The image on it holds the means; the loadings are in an inset to its right.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, a name is unknown, or the layer that was fitted is gone.
    ValueError
        If `groupby` holds numbers, no gene loads on the component, `n_genes` is below 1, or `norm` comes with limits.

    Examples
    --------
    >>> ax = pae.pl.leading_genes(adata, "program_1", "cell_type", n_genes=8, show=False)
    >>> len(ax.get_yticklabels())
    8
    """
    colors = _axes.Colors(cmap, norm, vmin, vmax)
    table = get.leading_genes(adata, component, groupby, n_genes=min(n_genes, _axes.MAX_ROWS), key=key)
    above = _axes.titles([_names.titles([component], 40)[0]], title)[0]
    genes = table.drop_duplicates("gene")
    means = table.pivot_table(index="gene", columns="group", values="standard", sort=False)
    counts = table.drop_duplicates("group").set_index("group")["n_cells"]
    columns = _groups.labels(list(means.columns), counts[means.columns].tolist())
    drawn = means.to_numpy()
    height, width = max(1.6, 0.21 * len(means)), max(1.2, _axes.pitch(columns, 0.3) * len(columns))
    label = _groups.title(_groups.groups_of(adata, groupby))
    width = _axes.wide(width, [above, label], min(_axes.room(means.index), 2.0))
    size = (width + BESIDE + _axes.room(means.index) + 1.4, max(3.2, height + _axes.room(columns) + 0.7))
    ax = _axes.single(ax, size)
    limit = min(max(float(np.abs(drawn).max()), MIN_SD), MAX_SD)
    image = ax.imshow(drawn, aspect="auto", interpolation="nearest", **colors.scale_around_zero(limit))
    ax.set_yticks(range(len(means)), [_axes.plain(one) for one in means.index], fontsize="small")
    ax.set_xticks(range(len(columns)), columns, rotation=90, fontsize="small")
    ax.set_xlabel(label)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    beside = _axes.inset(ax, "right", BESIDE, 0.1)
    is_free = not _is_pathway(adata, component, key)
    _lollipops(beside, genes.assign(kind="free" if is_free else "pathway"))
    beside.set(yticks=[], ylim=ax.get_ylim(), xlabel="loading")
    beside.tick_params(labelsize="small")
    beside.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), frameon=False, fontsize="small", borderpad=0.1)
    length, extend = min(1.0, 1.9 / height), _axes.extend_of(image, drawn)
    ax.figure.colorbar(image, ax=ax, label="mean (s.d.)", extend=extend, shrink=length, aspect=14, pad=0.02)
    _axes.head(ax, above)
    _axes.finish(ax, show=show, save=save)
    return ax


def _is_pathway(adata: AnnData, component: str, key: str) -> bool:
    table = get.variance(adata, key=key).set_index("component")
    return bool(table.loc[component, "kind"] == "pathway")


def _lollipops(ax: Axes, table: pd.DataFrame) -> None:
    """Loadings from the top down, members, genes that go with them and those of free components apart."""
    position = np.arange(len(table))
    kinds = np.where(table["member"], MEMBER, np.where(table["kind"] == "free", FREE, ADDED))
    values: NDArray[np.float64] = table["loading"].to_numpy(dtype=float)
    for kind in (one for one in STYLE if (kinds == one).any()):
        rows, (color, face) = kinds == kind, STYLE[kind]
        ax.hlines(position[rows], 0, values[rows], color=color, linewidth=1.4)
        look: dict[str, Any] = {"markersize": 5.5, "markeredgewidth": 1.4, "markerfacecolor": face}
        ax.plot(values[rows], position[rows], linestyle="none", marker="o", color=color, label=kind, **look)
    if "low" in table and len(table):
        ax.hlines(position, table["low"], table["high"], color="black", linewidth=1.1, zorder=3)
        for end in ("low", "high"):
            ax.plot(table[end], position, zorder=3, **CAP)
    ax.set_ylim(max(len(table), 1) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.margins(x=0.08)
    if (values < 0).any():
        ax.axvline(0, color="black", linewidth=0.8)
    else:
        ax.set_xlim(left=0)
    ax.locator_params(axis="x", nbins=4)
    _axes.bare(ax)
