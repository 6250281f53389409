"""One page of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pathwayae import get
from pathwayae._slots import keys, lookup
from pathwayae._slots.groups import groups_of
from pathwayae._slots.leading import leading
from pathwayae.core.gates import gated
from pathwayae.pl import _axes
from pathwayae.pl._embedding import embedding
from pathwayae.pl._grouped.loadings_heatmap import loadings_heatmap
from pathwayae.pl._grouped.scores import scores
from pathwayae.pl._grouped.variance import variance

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray

VERDICTS = {  # of pae.get.trust, from good to bad
    "used": _axes.BLUE,
    "untested": "#B0B0B0",
    "not used": _axes.GREY,
    "unstable": _axes.ORANGE,
    "unfaithful": _axes.VERMILLION,
}


@gated(n_pathways=1)
def overview(
    adata: AnnData,
    groupby: str | Sequence[str] | None = None,
    *,
    n_pathways: int = 12,
    basis: str = "X_umap",
    key: str = keys.DEFAULT,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> NDArray[np.object_]:
    """Draw one page of a fit: pathways by group, an embedding, variance, verdicts and the genes found of each pathway.

    Parameters
    ----------
    adata
        A fitted AnnData. Read through the tables of the plots drawn, :func:`pathwayae.get.trust` and
        :func:`pathwayae.get.pathways`.
    groupby
        Column of ``obs`` with categories, strings or booleans, or several of them. ``None`` for the clustered loadings
        in place of scores by group.
    n_pathways
        Number of pathways by group, and of components by variance, at most.
    basis
        Name in ``obsm``; ``"umap"`` stands for ``"X_umap"``.
    key
        Key of the fit.
    ax
        Axes to draw on: five, or four where ``obsm`` has no such basis. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        Pathways by group or clustered loadings; variance; verdicts; genes found; and the embedding, if there is one.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a column of `groupby` is not in ``obs``.
    ValueError
        If `groupby` holds numbers, `n_pathways` is below 1, or `ax` has another number of axes.

    Examples
    --------
    >>> axes = pae.pl.overview(adata, "cell_type", show=False)
    >>> axes.shape
    (5,)
    """
    table = get.trust(adata, key=key)
    kinds = get.variance(adata, key=key)["kind"]
    first = leading(adata, key, 1).names[0]
    there = any(name in adata.obsm for name in (basis, f"X_{basis}"))
    if groupby is not None:
        groups_of(adata, groupby)  # refuses what is no group before a figure is made
    axes = _page(ax, there=there)
    if groupby is None:
        loadings_heatmap(adata, n_components=n_pathways, n_genes=2, key=key, ax=axes[0], show=False)
    else:
        scores(adata, groupby, n_pathways=n_pathways, key=key, ax=axes[0], show=False)
    variance(adata, n_components=n_pathways, key=key, ax=axes[1], show=False)
    _verdicts(axes[2], table.loc[(kinds == "pathway").to_numpy(), "verdict"].tolist())
    _found(axes[3], adata, key)
    if there:
        color = groupby if isinstance(groupby, str) else first
        embedding(adata, color, basis=basis, key=key, ax=axes[4], show=False)
        axes[4].set_aspect("equal", adjustable="datalim")  # a panel of fixed size, beside which the legend has room
    if ax is None:
        axes[0].figure.suptitle(_words(adata, key))
    _axes.finish(axes, show=show, save=save)
    return np.asarray(axes, dtype=object)


def _page(ax: Sequence[Axes] | None, *, there: bool) -> list[Axes]:
    """Axes given, or those of a page: what needs room for names on top."""
    if ax is not None:
        return _axes.panels(ax, 4 + there, ncols=3, size=(4, 4))[0]
    figure = plt.figure(figsize=(15, 11), layout="constrained")
    top = ["scores"] * 3 + ["where"] * 3
    layout = [top, top, ["variance"] * 3 + ["trust"] * 3, ["variance"] * 3 + ["found"] * 3]
    if not there:
        layout[:2] = [["scores"] * 6] * 2
    found: dict[str, Axes] = figure.subplot_mosaic(layout)  # type: ignore[arg-type]
    return [found[name] for name in ("scores", "variance", "trust", "found", "where") if name in found]


def _verdicts(ax: Axes, verdicts: list[str]) -> None:
    """Number of pathways by how far to trust them."""
    names = [*VERDICTS, *dict.fromkeys(one for one in verdicts if one not in VERDICTS)]
    counts = [verdicts.count(name) for name in names]
    bars = ax.barh(names, counts, color=[VERDICTS.get(name, _axes.GREY) for name in names], height=0.7)
    ax.bar_label(bars, [f"{n:,}" for n in counts], padding=3, fontsize="small")
    ax.invert_yaxis()
    ax.margins(x=0.1)
    ax.tick_params(axis="y", length=0, labelsize="small")
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set_xlabel("pathways")
    _axes.head(ax, "how far to trust the scores")
    _axes.bare(ax)


def _found(ax: Axes, adata: AnnData, key: str) -> None:
    """Share of the genes of each pathway that are in the model."""
    table = get.pathways(adata, key=key)
    share = table["n_matched"] / table["n_genes"].clip(lower=1)
    ax.hist(share, bins=20, range=(0.0, 1.0), color=_axes.BLUE, edgecolor="white", linewidth=0.6)
    ax.set(xlim=(0, 1), xlabel="share of a pathway's genes in the model", ylabel="pathways")
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, 0))
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    n_lost = len(lookup.fit_of(adata, key).get(keys.DROPPED, ()))
    lost = f", {n_lost:,} dropped" if n_lost else ""
    middle = f"median {share.median():.0%} of the genes found, " if len(table) else ""
    _axes.head(ax, f"{middle}{len(table):,} pathways{lost}")
    _axes.bare(ax)


def _words(adata: AnnData, key: str) -> str:
    """Numbers of cells, genes and components, and the variance that they explain together."""
    fit = lookup.fit_of(adata, key, keys.GROUPED)
    names, n_pathways = lookup.component_names(adata, key), int(lookup.value(adata, key, keys.N_PATHWAYS))
    n_genes = int(np.isfinite(np.asarray(lookup.slot(adata, "var", keys.scale(key), key), dtype=float)).sum())
    words = f"{adata.n_obs:,} cells, {n_genes:,} genes, {n_pathways:,} pathways, {len(names) - n_pathways:,} free"
    if keys.VARIANCE_RATIO_TOTAL in fit:
        words += f": {float(fit[keys.VARIANCE_RATIO_TOTAL]):.0%} of the variance explained"
    return words
