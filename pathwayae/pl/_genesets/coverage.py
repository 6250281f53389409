"""How many genes of gene sets the data hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from pathwayae import gs
from pathwayae.core.gates import gated
from pathwayae.pl import _axes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

BINS = [0, 1, 2, 5, 10, 20, 50, 100]  # lower ends of the classes of sets per gene


@gated(min_genes=1)
def coverage(
    collection: gs.Pathways,
    adata: AnnData,
    *,
    min_genes: int = 5,
    gene_symbols: str | None = None,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> NDArray[np.object_]:
    """Draw how much of the gene sets is in the data, and how much of the data is in gene sets.

    Left: sets by the share of their genes that the data hold; sets with too few of them stand out. Right: genes of the
    data by the number of sets they are in.

    Parameters
    ----------
    collection
        The gene sets, or anything :func:`pathwayae.gs.as_collection` takes.
    adata
        The data.
    min_genes
        Fewest genes a set needs in the data.
    gene_symbols
        Column of ``adata.var`` that holds the names of the genes; ``None`` for ``adata.var_names``.
    ax
        Two axes to draw on. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    numpy.ndarray
        The two axes.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If the collection is empty, or `ax` does not have two axes.

    Examples
    --------
    >>> sets = pae.gs.GeneSetCollection({"early": ["gene_1", "gene_2"], "late": ["gene_2", "gene_3", "other"]})
    >>> axes = pae.pl.coverage(sets, adata, min_genes=2, show=False)
    >>> axes[0].get_title(loc="left")
    '2 of 2 sets can be used'
    """
    sets = gs.as_collection(collection)
    if not len(sets):
        msg = "The collection has no sets. Read it again, or filter it less."
        raise ValueError(msg)
    table = sets.report(adata, gene_symbols=gene_symbols, min_genes=min_genes)
    counts = sets.sets_per_gene(adata, gene_symbols=gene_symbols)
    axes, _ = _axes.panels(ax, 2, ncols=2, size=(4.6, 3.4))
    _shares(axes[0], table, min_genes)
    _counts(axes[1], counts)
    for one in axes:
        one.yaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True))
        one.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        _axes.bare(one)
    _axes.finish(axes, show=show, save=save)
    return np.array(axes, dtype=object)


def _shares(ax: Axes, table: pd.DataFrame, min_genes: int) -> None:
    usable = (table["reason"] == "").to_numpy()
    where = np.minimum((table["share"].to_numpy() * 10 + 1e-9).astype(int), 9)
    bottom = np.zeros(10)
    kinds = {
        f"at least {min_genes} genes found": (usable, _axes.BLUE),
        f"fewer than {min_genes}": (~usable, _axes.ORANGE),
    }
    for label, (rows, color) in kinds.items():
        if rows.any():
            heights = np.bincount(where[rows], minlength=10)
            ax.bar(np.arange(10) * 10 + 5, heights, width=9, bottom=bottom, color=color, label=label)
            bottom += heights
    ax.set_xlim(0, 100)
    ax.set_xticks(range(0, 101, 20))
    ax.set_xlabel("genes of the set found in the data (%)")
    ax.set_ylabel("gene sets")
    ax.set_title(f"{usable.sum():,} of {len(table):,} sets can be used", fontsize="medium", loc="left")
    ax.set_ylim(0, 1.22 * bottom.max())  # room for the legend above the bars
    ax.legend(frameon=False, fontsize="small", ncols=2, loc="upper center", columnspacing=1, handlelength=1)


def _counts(ax: Axes, counts: pd.Series) -> None:
    ends = [low for low in BINS if low <= max(counts.max(), 2)]
    where = np.searchsorted(ends, counts.to_numpy(), side="right") - 1
    heights = np.bincount(where, minlength=len(ends))
    colors = [_axes.GREY, _axes.BLUE, *[_axes.VERMILLION] * len(ends)][: len(ends)]
    bars = ax.bar(range(len(ends)), heights, color=colors, width=0.8)
    ax.bar_label(bars, [f"{height:,}" for height in heights], padding=2, fontsize="x-small")
    ax.set_ylim(0, 1.08 * heights.max())
    ax.set_xticks(range(len(ends)), _class_names(ends), fontsize="small")
    ax.set_xlabel("sets the gene is in")
    ax.set_ylabel("genes of the data")
    n, several = len(counts), int((counts > 1).sum())
    title = f"{_percent((counts == 0).sum(), n)} of {n:,} genes are in no set, {_percent(several, n)} in several"
    ax.set_title(title, fontsize="medium", loc="left")


def _class_names(ends: list[int]) -> list[str]:
    following = [*ends[1:], None]
    return [
        f"{low}+" if high is None else str(low) if high == low + 1 else f"{low}–{high - 1}"
        for low, high in zip(ends, following, strict=True)
    ]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.0f} %"
