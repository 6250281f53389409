"""Gene sets that components point to."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.markers import MarkerStyle
from matplotlib.ticker import FuncFormatter

from pathwayae import get
from pathwayae._slots import keys
from pathwayae.core.gates import gated
from pathwayae.pl import _axes, _names
from pathwayae.pl._sizes import under

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

MARKERS = {"up": "^", "down": "v", "mixed": "o", "none": "o"}  # by direction
WORDS = {"up": "genes up", "down": "genes down", "mixed": "genes mixed", "none": "no genes"}
LARGEST = 150.0  # area of the largest dot in the legend, in points²


@gated()
def enrichment(
    adata: AnnData,
    components: str | Sequence[str] | None = None,
    *,
    n_terms: int = 5,
    max_padj: float = 0.05,
    cmap: str | Colormap | None = None,
    norm: Normalize | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    title: str | None = None,
    key: str = keys.DEFAULT,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw a dot plot of the result of ``pae.tl.enrich``, terms × components.

    The area of a dot grows with −log10 of the adjusted *p*-value, its colour shows the score, and its shape the
    direction: a triangle up or down where the genes of the set go up or down with the component, a circle where both.
    Where a term is shown for
    one component, so is every other component in which it passes `max_padj`.

    Parameters
    ----------
    adata
        A fitted AnnData after ``pae.tl.enrich``. Read through :func:`pathwayae.get.enrichment`.
    components
        Names of components. ``None`` for the ten with the smallest adjusted *p*-value.
    n_terms
        Number of terms that each component brings in: those with the smallest *p*-values.
    max_padj
        Largest adjusted *p*-value shown.
    cmap
        Colour map. ``None`` for a diverging one around 0 where scores have signs, else a sequential one.
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
        Axes to draw on; legend and colour bar take about an inch to the right of them. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    matplotlib.axes.Axes
        The scatter on it holds the scores.

    Raises
    ------
    KeyError
        If nothing was fitted or tested under `key`, or a name is unknown.
    ValueError
        If no term passes `max_padj`, `n_terms` is below 1, or `norm` comes with limits.

    Examples
    --------
    >>> ax = pae.pl.enrichment(adata, max_padj=0.5, show=False)
    >>> ax.get_ylabel()
    'gene set'
    """
    colors = _axes.Colors("viridis" if cmap is None else cmap, norm, vmin, vmax)
    if n_terms < 1:
        msg = f"n_terms must be at least 1, got {n_terms}."
        raise ValueError(msg)
    whole = get.enrichment(adata, key=key, components=components)
    table = get.enrichment(adata, key=key, components=components, max_padj=max_padj)
    if table.empty:
        raise ValueError(_nothing(whole, max_padj))
    if components is None:
        best = table.groupby("component")["padj"].min().sort_values(kind="stable").index[:10]
        table = table[table["component"].isin(best)]
    n_all, n_shown = whole["component"].nunique(), table["component"].nunique()
    own = f"{n_shown:,} of {n_all:,} components, the most significant" if components is None and n_shown < n_all else ""
    above = _axes.titles([own], title)[0]
    table = table.sort_values(["padj", "pval"], kind="stable")
    columns = [name for name in get.component_names(adata, key=key) if name in set(table["component"])]
    leading = table.groupby("component", sort=False).head(n_terms).set_index("component")["term"]
    terms = list(dict.fromkeys(term for name in columns for term in leading.loc[[name]]))
    table = table[table["term"].isin(terms)]
    below, left = _names.labels(columns, 30, 3), _names.labels(terms, 44)
    pitch = max(0.42, 0.08 + 0.15 * max(1 + name.count("\n") for name in below))
    width = 1.7 + max(1.2, pitch * len(columns)) + _axes.room(left)
    height = 0.5 + 0.34 * len(terms) + _axes.room(below)
    ax = _axes.single(ax, (width, max(2.7, height)))
    _dots(ax, table, columns, terms, scale=_scale(table, colors, own_map=cmap is not None))
    ax.set_xticks(range(len(columns)), below, rotation=90, fontsize="small")
    ax.set_yticks(range(len(terms)), left, fontsize="small")
    ax.set_xlim(-0.6, len(columns) - 0.4)
    ax.set_ylim(len(terms) - 0.4, -0.6)
    ax.tick_params(length=0)
    ax.grid(visible=True, color="0.92", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set(xlabel="component", ylabel="gene set")
    _axes.head(ax, above)
    _axes.finish(ax, show=show, save=save)
    return ax


def _nothing(table: pd.DataFrame, max_padj: float) -> str:
    """Say how far the closest term is from being shown."""
    if table["padj"].isna().all():
        return "No term was tested for these components: run pae.tl.enrich with them, or name others."
    best = table.iloc[int(np.nanargmin(table["padj"]))]
    where = f"{best['term']!r} in {best['component']!r}"
    return (
        f"No term has padj ≤ {max_padj}; the smallest is {best['padj']:.3g} ({where}). "
        "Pass a larger max_padj, or test other gene sets with pae.tl.enrich."
    )


def _dots(ax: Axes, table: pd.DataFrame, columns: list[str], terms: list[str], *, scale: dict[str, Any]) -> None:
    """Draw the dots, the legend of their sizes and, under it, their colour bar."""
    strength = -np.log10(np.maximum(table["padj"].to_numpy(dtype=float), 1e-300))
    steps = _round_steps(max(strength.min(), strength.max() / 20), strength.max())
    area = LARGEST / steps[-1]
    look: dict[str, Any] = {"edgecolors": "0.25", "linewidths": 0.5}
    shown = [name for name in MARKERS if (table["direction"] == name).any()]
    dots = ax.scatter(
        table["component"].map({name: i for i, name in enumerate(columns)}),
        table["term"].map({name: i for i, name in enumerate(terms)}),
        s=area * strength,
        c=table["score"],
        **look,
        **scale,
    )
    shapes = {name: MarkerStyle(MARKERS[name]) for name in shown}
    paths = {name: shape.get_path().transformed(shape.get_transform()) for name, shape in shapes.items()}
    dots.set_paths([paths[name] for name in table["direction"]])
    signs = [ax.scatter([], [], s=50, color="0.6", marker=MARKERS[name], **look) for name in shown]
    sizes = [ax.scatter([], [], s=area * value, color="0.6", **look) for value in steps]
    legend = ax.legend(
        [*sizes, *signs],
        [*(f"{value:g}" for value in steps), *(WORDS[name] for name in shown)],
        title="−log$_{10}$ padj",
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        borderpad=0.0,
        borderaxespad=0.7,
        fontsize="small",
        title_fontsize="small",
        alignment="left",
        frameon=False,
    )
    inset = ax.inset_axes((1.0, 0.0, 0.1, 1.0))
    inset.set_axes_locator(partial(under, legend))
    bar = ax.figure.colorbar(dots, cax=inset)
    bar.ax.tick_params(labelsize="small")
    is_ora = (table["method"] == "ora").all()
    bar.set_label("odds ratio" if is_ora else "normalised\nenrichment score", fontsize="small")
    if isinstance(dots.norm, LogNorm):
        low, high = dots.get_clim()
        ticks = [value for value in _round_steps(low, high, most=6) if low <= value <= high]
        bar.set_ticks(ticks if len(ticks) > 1 else [low, high])
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        bar.minorticks_off()


def _round_steps(low: float, high: float, most: int = 4) -> list[float]:
    """Up to `most` of the numbers …, 1, 2, 5, 10, …, the first at most `low` and the last at least `high`."""
    low, high = max(low, 1e-3), max(high, 1e-3)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    first = max(i for i, step in enumerate(steps) if step <= low * (1 + 1e-9))
    last = min(i for i, step in enumerate(steps) if step >= high * (1 - 1e-9))
    chosen = np.linspace(first, last, min(most, last - first + 1)).round().astype(int)
    return [steps[i] for i in chosen]


def _scale(table: pd.DataFrame, colors: _axes.Colors, *, own_map: bool) -> dict[str, Any]:
    """Colour map and scale of the scores: odds ratios on a log scale, signed ones around 0."""
    values = table["score"].to_numpy(dtype=float)
    asked = colors.norm is not None
    if not asked and (table["method"] == "ora").all():
        limits = colors.scale(values.min(), max(values.max(), values.min() * 1.01))
        if limits["vmin"] <= 0:
            msg = (
                "Odds ratios have a logarithmic scale: vmin and vmax must be above 0; got "
                f"vmin={colors.vmin}, vmax={colors.vmax}."
            )
            raise ValueError(msg)
        return {"cmap": colors.cmap, "norm": LogNorm(limits["vmin"], limits["vmax"])}
    if (values < 0).any():
        signed = colors.scale_around_zero(float(np.abs(values).max()))
        return signed if own_map else {**signed, "cmap": "RdBu_r"}
    return colors.scale(values.min(), values.max())
