"""Top genes of pathways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pathwayae import get
from pathwayae._slots import keys
from pathwayae._slots.leading import leading
from pathwayae.core.gates import gated
from pathwayae.pl import _axes, _names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

MEMBER = "annotated member"
ADDED = "not in the set"
FREE = "gene of a free component"
STYLE = {  # colour, and face of the marker
    MEMBER: (_axes.BLUE, _axes.BLUE),
    ADDED: (_axes.VERMILLION, "white"),
    FREE: (_axes.GREY, _axes.GREY),
}
INTERVAL = "95 % interval"
CAP: dict[str, Any] = {
    "linestyle": "none",
    "marker": "|",
    "markersize": 6,
    "markeredgewidth": 1.1,
    "color": "black",
}
SMALLEST = 0.01  # of the largest loading of a component
N_PANELS = 6  # if no components are named


@gated()
def loadings(
    adata: AnnData,
    components: str | Sequence[str] | None = None,
    *,
    n_genes: int = 15,
    title: str | Sequence[str] | None = None,
    ncols: int = 3,
    key: str = keys.DEFAULT,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes | NDArray[np.object_]:
    """Draw the genes that load most on components, annotated members apart from genes that go with them.

    Genes below 1 % of the largest loading of their component are left out. Under the name stand the effective number of
    genes, how many of the pathway are in the model, and its flag, see :func:`pathwayae.get.pathways`. After a fit with
    ``n_bootstrap`` whiskers are the 95 % intervals of the loadings, and the title gives the verdict and the correlation
    of the scores that 95 % of the draws reach or exceed; with restarts alone, of these.

    Parameters
    ----------
    adata
        A fitted AnnData. Read through :func:`pathwayae.get.top_genes`, :func:`pathwayae.get.variance` and, where it is
        there, :func:`pathwayae.get.stability`.
    components
        Names of components, one panel each. ``None`` for six pathways: those that explain the most variance, or, after
        ``pae.tl.relevance``, of those that are used the ones that explain most of it in cells left out; pathways with a
        flag come last.
    n_genes
        Number of genes per panel, at most.
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
        One Axes for one pathway given as a string, else an array.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a name is unknown.
    ValueError
        If `title` or `ax` does not match the number of panels.

    Examples
    --------
    >>> axes = pae.pl.loadings(adata, ["program_1", "program_2"], n_genes=10, show=False)
    >>> axes.shape
    (2,)
    """
    table = get.variance(adata, key=key)
    first = leading(adata, key, N_PANELS)
    chosen = first.names if components is None else get.component_names(adata, components, key=key)
    genes = get.top_genes(adata, chosen, n_genes=n_genes, key=key)
    size = genes["loading"].abs()
    genes = genes[size >= SMALLEST * size.groupby(genes["component"]).transform("max")]
    n_rows = max(1, genes["component"].value_counts().max() if len(genes) else 1)
    free = set(table.loc[table["kind"] == "free", "component"])
    verdicts, numbers = _verdicts(adata, key), _numbers(adata, key)
    shown = zip(_names.titles(chosen, 28), chosen, strict=True)
    own = ["\n".join([short, *numbers.get(name, []), *verdicts.get(name, [])]) for short, name in shown]
    titles = _axes.titles(own, title)
    axes, figure = _axes.panels(ax, len(chosen), ncols=ncols, size=(3.2, 0.9 + 0.19 * max(n_rows, 4)))
    handles: dict[str, Artist] = {}
    for panel, name, above in zip(axes, chosen, titles, strict=True):
        _panel(panel, genes[genes["component"] == name], n_rows=n_rows, free=name in free, handles=handles)
        panel.set_title(above, fontsize="medium")
    kinds = [kind for kind in (*STYLE, INTERVAL) if kind in handles]
    if figure is not None:
        if components is None and first.title:
            figure.suptitle(first.title, fontsize="medium")
        columns = min(len(chosen), ncols, len(kinds))
        figure.legend(
            [handles[kind] for kind in kinds], kinds, loc="outside lower center", ncols=columns, frameon=False
        )
    else:
        axes[-1].legend([handles[kind] for kind in kinds], kinds, loc="lower right", fontsize="small")
    _axes.finish(axes, show=show, save=save)
    return axes[0] if isinstance(components, str) else np.asarray(axes, dtype=object)


def _panel(ax: Axes, table: pd.DataFrame, *, n_rows: int, free: bool, handles: dict[str, Artist]) -> None:
    """Lollipops, the largest at the top; rows are as high in every panel."""
    ax.margins(x=0.08)
    position = np.arange(len(table))
    whiskers = "low" in table
    kinds = np.where(table["member"], MEMBER, FREE if free else ADDED)
    for kind in dict.fromkeys(kinds):
        rows = kinds == kind
        color, face = STYLE[kind]
        ax.hlines(position[rows], 0, table["loading"][rows], color=color, linewidth=1.4, alpha=0.4 if whiskers else 1)
        (handles[kind],) = ax.plot(
            table["loading"][rows],
            position[rows],
            linestyle="none",
            marker="o",
            markersize=5.5,
            markeredgewidth=1.4,
            color=color,
            markerfacecolor=face,
            label=kind,
        )
    if whiskers and len(table):
        ax.hlines(position, table["low"], table["high"], color="black", linewidth=1.1, zorder=3)
        for end in ("low", "high"):
            (handles[INTERVAL],) = ax.plot(table[end], position, label=INTERVAL, zorder=3, **CAP)
    ax.set_yticks(position, [_axes.plain(gene) for gene in table["gene"]], fontsize="small")
    ax.set_ylim(n_rows - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    if (table["loading"] < 0).any() or (whiskers and (table["low"] < 0).any()):
        ax.axvline(0, color="black", linewidth=0.8)
    else:
        ax.set_xlim(left=0)
    ax.set_xlabel("loading")
    ax.locator_params(axis="x", nbins=5)
    _axes.bare(ax)


def _verdicts(adata: AnnData, key: str) -> dict[str, list[str]]:
    """The line under the name of each component; nothing where the fit was not repeated."""
    try:
        table = get.stability(adata, key=key)
    except KeyError:
        return {}
    columns = zip(table["component"], table["verdict"], table["scores_low"], strict=True)
    return {name: [f"{verdict} (r ≥ {_down(low)})"] for name, verdict, low in columns}


def _numbers(adata: AnnData, key: str) -> dict[str, list[str]]:
    """Effective and real number of the genes of each pathway, and its flag where it has one."""
    try:
        table = get.pathways(adata, key=key)
    except KeyError:
        return {}
    columns = zip(table["pathway"], table["n_effective"], table["n_matched"], table["flag"], strict=True)
    return {name: [f"{own:.0f} effective of {n} genes{f': {flag}' if flag else ''}"] for name, own, n, flag in columns}


def _down(value: float) -> str:
    """Two digits, never more than the value, so that 0.899 is not shown as 0.90."""
    return f"{np.floor(100 * value + 1e-9) / 100:.2f}"
