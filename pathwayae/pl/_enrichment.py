"""Gene sets that components point to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.colors import CenteredNorm, LogNorm
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pathwayae import _keys, get
from pathwayae.pl import _axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

LARGEST = 150.0  # area of the largest dot, in points²


def enrichment(
    adata: AnnData,
    *,
    n_terms: int = 5,
    components: str | Sequence[str] | None = None,
    max_padj: float = 0.05,
    key: str = _keys.DEFAULT,
    ax: Axes | None = None,
    show: bool | None = None,
) -> Axes:
    """Dot plot of the result of ``pae.tl.enrich``, terms × components.

    The area of a dot grows with −log10 of the adjusted *p*-value, its colour shows the score. Where a term is shown for
    one component, so is every other component in which it passes `max_padj`.

    Parameters
    ----------
    adata
        A fitted AnnData after ``pae.tl.enrich``. Read through :func:`pathwayae.get.enrichment`.
    n_terms
        Number of terms that each component brings in: those with the smallest *p*-values.
    components
        Names of components. ``None`` for the ten with the smallest adjusted *p*-value.
    max_padj
        Largest adjusted *p*-value shown.
    key
        Key of the fit.
    ax
        Axes to draw on. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.

    Returns
    -------
    matplotlib.axes.Axes
        The scatter on it holds the scores.

    Raises
    ------
    KeyError
        If nothing was fitted or tested under `key`, or a name is unknown.
    ValueError
        If no term passes `max_padj`.

    Examples
    --------
    >>> pae.pl.enrichment(adata, components=["free_1", "free_2"])  # doctest: +SKIP
    """
    if n_terms < 1:
        msg = f"n_terms must be at least 1, got {n_terms}."
        raise ValueError(msg)
    whole = get.enrichment(adata, key=key, components=components)
    table = get.enrichment(adata, key=key, components=components, max_padj=max_padj)
    if table.empty:
        msg = f"No term has padj ≤ {max_padj}; the smallest is {whole['padj'].min():.3g}. Pass a larger max_padj."
        raise ValueError(msg)
    if components is None:
        best = table.groupby("component")["padj"].min().sort_values(kind="stable").index[:10]
        table = table[table["component"].isin(best)]
    table = table.sort_values(["padj", "pval"], kind="stable")
    columns = [name for name in get.component_names(adata, key=key) if name in set(table["component"])]
    leading = table.groupby("component", sort=False).head(n_terms).set_index("component")["term"]
    terms = list(dict.fromkeys(term for name in columns for term in leading.loc[[name]]))
    table = table[table["term"].isin(terms)]
    ax = _axes.single(ax, (5.2 + 0.4 * len(columns), max(3.4, 2.2 + 0.3 * len(terms))))
    _dots(ax, table, columns, terms)
    ax.set_xticks(range(len(columns)), [_axes.wrap(name, 30) for name in columns], rotation=90, fontsize="small")
    ax.set_yticks(range(len(terms)), [_axes.wrap(name, 44) for name in terms], fontsize="small")
    ax.set_xlim(-0.6, len(columns) - 0.4)
    ax.set_ylim(len(terms) - 0.4, -0.6)
    ax.tick_params(length=0)
    ax.grid(visible=True, color="0.92", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set(xlabel="component", ylabel="gene set")
    _axes.finish(show=show)
    return ax


def _dots(ax: Axes, table: pd.DataFrame, columns: list[str], terms: list[str]) -> None:
    """Draw the dots, their colour bar and the legend of their sizes."""
    strength = -np.log10(np.maximum(table["padj"].to_numpy(dtype=float), 1e-300))
    top = max(float(strength.max()), 1e-9)
    dots = ax.scatter(
        table["component"].map({name: i for i, name in enumerate(columns)}),
        table["term"].map({name: i for i, name in enumerate(terms)}),
        s=LARGEST * strength / top,
        c=table["score"],
        edgecolors="0.25",
        linewidths=0.5,
        **_colors(table),
    )
    is_ora = (table["method"] == "ora").all()
    label = "odds ratio" if is_ora else "normalised enrichment score"
    bar = ax.figure.colorbar(dots, ax=ax, label=label, shrink=0.6, aspect=16, pad=0.02, anchor=(0.0, 0.0))
    if is_ora:
        bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
    steps = np.unique([float(f"{value:.2g}") for value in np.linspace(strength.min(), top, 3)])
    handles = [
        ax.scatter([], [], s=LARGEST * value / top, color="0.6", edgecolors="0.25", linewidths=0.5) for value in steps
    ]
    ax.legend(
        handles,
        [f"{value:g}" for value in steps],
        title="−log$_{10}$ padj",
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
    )


def _colors(table: pd.DataFrame) -> dict[str, Any]:
    """Return the colour map and scale of the scores: odds ratios on a log scale, signed scores around 0."""
    values = table["score"].to_numpy(dtype=float)
    if (table["method"] == "ora").all():
        return {"cmap": "viridis", "norm": LogNorm(values.min(), max(values.max(), values.min() * 1.01))}
    if (values < 0).any():
        return {"cmap": "RdBu_r", "norm": CenteredNorm(0.0)}
    return {"cmap": "viridis", "vmin": values.min(), "vmax": max(values.max(), values.min() + 0.01)}
