"""Variance that components explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import FuncFormatter

from pathwayae import get
from pathwayae._slots import keys
from pathwayae.core.gates import gated
from pathwayae.pl import _axes, _names

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes

STYLE = {"pathway": (_axes.BLUE, "pathway"), "free": (_axes.ORANGE, "free component")}


@gated()
def variance(
    adata: AnnData,
    *,
    n_components: int = 20,
    title: str | None = None,
    key: str = keys.DEFAULT,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw the share of the total variance that each component explains on its own, the largest first.

    Free components are numbered by the variance they add to the pathways, which is not the order drawn here. A prefix
    that all names share (``HALLMARK_``) is left out, and the middle of long names.

    Parameters
    ----------
    adata
        A fitted AnnData. Read through :func:`pathwayae.get.variance`.
    n_components
        Number of components, 100 at most; the title says of how many.
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
        With one bar per component.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`.
    ValueError
        If `n_components` is below 1, or `title` is no string.

    Examples
    --------
    >>> ax = pae.pl.variance(adata, n_components=5, show=False)
    >>> len(ax.patches)
    5
    """
    if n_components < 1:
        msg = f"n_components must be at least 1, got {n_components}."
        raise ValueError(msg)
    table = get.variance(adata, key=key)
    n_all = len(table)
    table = table.sort_values("variance_ratio", ascending=False, kind="stable", ignore_index=True)
    table = table[: min(n_components, _axes.MAX_ROWS)]
    own = f"{len(table):,} of {n_all:,} components, those that explain most" if len(table) < n_all else ""
    above = _axes.titles([own], title)[0]
    names = _names.labels(table["component"], 42)
    height = max(0.8, _axes.pitch(names, 0.25) * len(table))
    ax = _axes.single(ax, (3.6 + _axes.room(names), 0.8 + height))
    for kind, (color, label) in STYLE.items():
        rows = table[table["kind"] == kind]
        if len(rows):
            bars = ax.barh(rows.index, rows["variance_ratio"], color=color, height=0.72, label=label)
            ax.bar_label(bars, [_percent(value) for value in rows["variance_ratio"]], padding=3, fontsize="small")
    ax.set_yticks(table.index, names, fontsize="small")
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.margins(x=0.16)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    ax.locator_params(axis="x", nbins=6)
    ax.set_xlabel("variance explained, each component alone")
    if table["kind"].nunique() > 1:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.5 / height), ncols=2, frameon=False)
    _axes.head(ax, above)
    _axes.bare(ax)
    _axes.finish(ax, show=show, save=save)
    return ax


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.1f} %" if abs(ratio) >= 0.0005 or ratio == 0 else f"{100 * ratio:.1g} %"
