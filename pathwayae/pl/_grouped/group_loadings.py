"""Genes × groups: which genes carry a pathway where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pathwayae import get
from pathwayae._slots import keys, lookup
from pathwayae.core.gates import gated
from pathwayae.pl import _axes, _names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

LEVEL = 0.05  # of adjusted p-values
ABSENT = "#D9D9D9"
MARKS = {"more": ("^", 1), "less": ("v", -1)}


@gated()
def group_loadings(
    adata: AnnData,
    pathway: str,
    groups: str | Sequence[str] | None = None,
    *,
    n_genes: int = 24,
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
    """Draw the loadings of a pathway's genes in each group of cells, beside those that all groups share.

    Above the line stand the genes with the largest shared loading, below it, of the others, those that differ most
    between groups: by adjusted *p*-value where donors were there to test, else by the largest difference. Triangles
    mark loadings that differ from those of the other groups, or of the reference, at an FDR of 5 %.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.group_loadings``. Read through :func:`pathwayae.get.group_loadings`.
    pathway
        Name of the pathway.
    groups
        Names of groups, in the order wanted. ``None`` for all.
    n_genes
        Number of genes, at most; half of them above the line.
    cmap
        Diverging colour map; its centre is at 0.
    norm
        Scale of the colours, with limits of its own. ``None`` for a linear one.
    vmin
        Value at the low end of the colours. ``None`` to choose by the values.
    vmax
        Value at the high end of the colours. ``None`` to choose by the values.
    title
        Title. ``None`` for the name of the pathway.
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
        The image on it holds the loadings, the first column those that groups share.

    Raises
    ------
    KeyError
        If nothing was fitted or compared under `key`, or a name is unknown.
    ValueError
        If `n_genes` is below 2, the pathway is carried in no group, or `norm` comes with limits.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(600, 200, 3, n_cell_types=2, n_donors=6)
    >>> pae.tl.fit(adata, "pathways", n_extra=1, progress=False)
    >>> pae.tl.group_loadings(adata, "cell_type", sample_key="donor", progress=False)
    >>> ax = pae.pl.group_loadings(adata, "program_1", n_genes=10, show=False)
    >>> ax.images[0].get_array().shape
    (10, 3)
    """
    colors = _axes.Colors(cmap, norm, vmin, vmax)
    if n_genes < 2:
        msg = f"n_genes must be at least 2, got {n_genes}."
        raise ValueError(msg)
    table = get.group_loadings(adata, pathway, groups, key=key)
    if table["loading"].isna().all():
        msg = (
            f"{pathway!r} is carried in none of these groups, so there is nothing to draw; see its row in of='groups'."
        )
        raise ValueError(msg)
    genes, n_above = _chosen(table, n_genes)
    columns = list(dict.fromkeys(table["group"]))
    wide = {
        name: table.set_index(["gene", "group"])[name].unstack().loc[genes, columns]  # noqa: PD010
        for name in ("loading", "difference", "padj")
    }
    by_gene = table.drop_duplicates("gene").set_index("gene").loc[genes]
    values = np.column_stack([by_gene["shared"], wide["loading"]])
    counts = table.drop_duplicates("group").set_index("group")["n_cells"]
    labels = ["all groups"] + [f"{_axes.wrap(str(name), 26)} ({counts[name]:,})" for name in columns]
    own = ax is None
    height = max(1.6, 0.21 * len(genes))
    ax = _axes.single(ax, (2.9 + max(1.2, 0.42 * len(labels)), max(3.2, height + _axes.room(labels) + 1.1)))
    limit = float(np.nanpercentile(np.abs(values), 98, method="higher"))
    image = ax.imshow(values, aspect="auto", interpolation="nearest", **colors.scale_around_zero(limit))
    params = lookup.value(adata, key, keys.GROUP_LOADINGS_PARAMS)
    other = "the other groups" if (other := str(params["reference"])) == "rest" else other
    handles = _marks(ax, wide["difference"], wide["padj"], other)
    if np.isnan(values).any():
        ax.set_facecolor(ABSENT)
        handles.append(Patch(color=ABSENT, label="not carried"))
    _frame(ax, by_gene, labels, n_above)
    ax.set_xlabel(f"{params['groupby']} (number of cells)")
    ax.figure.colorbar(
        image,
        ax=ax,
        label="loading",
        extend=_axes.extend_of(image, values),
        shrink=min(1.0, 1.9 / height),
        aspect=14,
        pad=0.02,
    )
    _axes.head(ax, _axes.titles([_names.titles([pathway], 40)[0]], title)[0])
    _legend(ax, handles, members_only=bool(by_gene["member"].all()), outside=own)
    _axes.finish(ax, show=show, save=save)
    return ax


def _chosen(table: pd.DataFrame, n: int) -> tuple[list[str], int]:
    """Genes to draw and how many of them lead: by shared loading, then those that differ, by the group they are in."""
    by_gene = table.groupby("gene", observed=True)
    facts = by_gene[["shared", "padj"]].min()
    facts["apart"] = by_gene["difference"].agg(lambda values: values.abs().max())
    facts["loading"] = by_gene["loading"].max()
    facts = facts.fillna({"padj": 1.0, "apart": 0.0}).rename_axis(index="gene").reset_index()
    leading = facts.sort_values(["shared", "gene"], ascending=[False, True])["gene"].tolist()[: n // 2]
    rest = facts[~facts["gene"].isin(leading)]
    rest = rest.sort_values(["padj", "apart", "gene"], ascending=[True, False, True])[: n - len(leading)]
    most = table.sort_values("loading", ascending=False, kind="stable").drop_duplicates("gene").set_index("gene")
    place = {name: j for j, name in enumerate(dict.fromkeys(table["group"]))}
    rest = rest.assign(place=[place[most.loc[gene, "group"]] for gene in rest["gene"]])
    return leading + rest.sort_values(["place", "loading"], ascending=[True, False])["gene"].tolist(), len(leading)


def _marks(ax: Axes, difference: pd.DataFrame, padj: pd.DataFrame, other: str) -> list[Artist]:
    """Triangles on loadings that differ; what they mean, for the legend."""
    handles: list[Artist] = []
    for label, (marker, sign) in MARKS.items():
        rows, columns = np.nonzero((padj.to_numpy() <= LEVEL) & (sign * difference.to_numpy() > 0))
        if not len(rows):
            continue
        style: dict[str, Any] = {"marker": marker, "color": "black", "markeredgecolor": "white", "markeredgewidth": 0.6}
        ax.plot(columns + 1, rows, linestyle="none", markersize=5.5, **style)
        handles.append(
            Line2D([], [], linestyle="none", markersize=6, label=f"{label} than in {_axes.wrap(other)}", **style)
        )
    return handles


def _frame(ax: Axes, genes: pd.DataFrame, columns: list[str], n_above: int) -> None:
    """Labels, and white lines between what is shared and what is not."""
    ax.set_yticks(range(len(genes)), [_axes.plain(gene) for gene in genes.index], fontsize="small")
    for label, member in zip(ax.get_yticklabels(), genes["member"], strict=True):
        label.set_color("black" if member else _axes.VERMILLION)
    ax.set_xticks(range(len(columns)), columns, rotation=90, fontsize="small")
    ax.set_ylim(len(genes) - 0.5, -0.5)
    ax.axvline(0.5, color="white", linewidth=4)
    if n_above < len(genes):
        ax.axhline(n_above - 0.5, color="white", linewidth=4)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _legend(ax: Axes, handles: list[Artist], *, members_only: bool, outside: bool) -> None:
    """What marks and colours of names mean, below a figure made here, else under the axes."""
    if not members_only:
        patch = Line2D([], [], linestyle="none", marker="$a$", color=_axes.VERMILLION, label="gene not in the set")
        handles = [*handles, patch]
    if not handles:
        return
    if outside:
        ax.figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize="small")
        return
    signs = {"more": "▲ ", "less": "▼ ", "not": "grey: ", "gene": "orange: "}
    words = [str(one.get_label()) for one in handles]
    ax.set_xlabel("\n".join([ax.get_xlabel(), *(signs[one.split()[0]] + one for one in words)]))
