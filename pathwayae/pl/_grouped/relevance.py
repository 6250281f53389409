"""Pathways against random sets, and what they explain in cells left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pathwayae import get
from pathwayae._slots import keys
from pathwayae.core.gates import gated
from pathwayae.pl import _axes, _names

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

LEVEL = 0.05  # of the adjusted p-value
STYLE = {True: (_axes.BLUE, _axes.BLUE), False: (_axes.VERMILLION, "white")}  # colour, and face of the marker
SHARES = {"heldout_variance": "heldout_se", "heldout_unique": "heldout_unique_se"}
TICKS = (0.0, 0.05, 0.2, 0.4, 0.7, 1.0)  # far enough apart on a root axis to be read
BAND = "#C8C8C8"


@gated()
def relevance(
    adata: AnnData,
    *,
    n_pathways: int = 40,
    key: str = keys.DEFAULT,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> NDArray[np.object_]:
    """Draw pathways against matched random sets, and the variance they explain in cells left out.

    Left, on a square-root axis: coherence of each pathway (dot) and of its random sets (bar: 5 % to 95 %, line: mean);
    filled where the adjusted *p*-value is at most 0.05. The most significant pathways come first. Middle and right:
    share of the variance of left-out cells that the score explains alone, and that is lost where it is left out of all
    scores, with two standard errors over folds.

    Parameters
    ----------
    adata
        A fitted AnnData after ``pae.tl.relevance``. Read through :func:`pathwayae.get.relevance`.
    n_pathways
        Number of pathways, at most.
    key
        Key of the fit.
    ax
        Three axes to draw on. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    numpy.ndarray
        The three axes.

    Raises
    ------
    KeyError
        If nothing was fitted or tested under `key`.
    ValueError
        If `n_pathways` is below 1, or `ax` does not have three axes.

    Examples
    --------
    >>> axes = pae.pl.relevance(adata, n_pathways=10, show=False)
    >>> axes.shape
    (3,)
    """
    if n_pathways < 1:
        msg = f"n_pathways must be at least 1, got {n_pathways}."
        raise ValueError(msg)
    table = get.relevance(adata, key=key)
    table = table[table["padj"].notna()]
    n_all = len(table)
    table = table.sort_values(["pval", "z"], ascending=[True, False], kind="stable", ignore_index=True)[:n_pathways]
    names = _names.labels(table["component"], 42)
    width = 2.7 + _axes.room(names) / 3
    axes, _ = _axes.panels(ax, 3, ncols=3, size=(width, max(2.8, 1.7 + _axes.pitch(names, 0.22) * len(table))))
    _against_random(axes[0], table)
    _left_out(axes[1], table, "heldout_variance", "variance of cells left out\nexplained alone")
    _left_out(axes[2], table, "heldout_unique", "variance of cells left out\nlost without it")
    for one in axes:
        one.set_ylim(len(table) - 0.4, -0.6)
        one.tick_params(axis="y", length=0)
        one.axvline(0, color=_axes.GREY, lw=0.6, zorder=0)
        one.set_yticks(table.index, [""] * len(table))
        _axes.bare(one)
    axes[0].set_yticks(table.index, names, fontsize="small")
    if len(table) < n_all:
        axes[1].set_title(f"{len(table):,} of {n_all:,} pathways, the most significant", fontsize="medium", loc="left")
    _axes.finish(axes, show=show, save=save)
    return np.array(axes, dtype=object)


def _against_random(ax: Axes, table: pd.DataFrame) -> None:
    y = table.index.to_numpy()
    ax.set_xscale("function", functions=(_signed_root, _signed_square))
    ax.hlines(y, table["null_low"], table["null_high"], color=BAND, lw=7)
    ax.vlines(table["null_mean"], y - 0.3, y + 0.3, color="white", lw=1.2)
    found = (table["padj"] <= LEVEL).to_numpy()
    for kind, (color, face) in STYLE.items():
        rows = table[found == kind]
        ax.scatter(rows["statistic"], rows.index, s=28, color=color, facecolor=face, zorder=3)
    highest = table[["statistic", "null_high"]].to_numpy().max()
    ticks = [tick for tick in TICKS if tick <= max(1.1 * highest, TICKS[1])]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel("coherence of the set\n(mean correlation of members, root axis)")
    handles = [
        Line2D([], [], ls="", marker="o", ms=5, color=color, mfc=face, label=f"adjusted p {sign} {LEVEL}")
        for (color, face), sign in zip(STYLE.values(), "≤>", strict=True)
    ]
    band = Line2D([], [], color=BAND, lw=7, solid_capstyle="butt", label="matched random sets, 5 to 95 %")
    ax.legend(
        handles=[*handles, band],
        loc="lower left",
        bbox_to_anchor=(0, 1),  # above the panel, where it hides no dot
        frameon=False,
        fontsize="small",
        handletextpad=0.4,
        handlelength=1.6,
        borderaxespad=0.2,
    )


def _left_out(ax: Axes, table: pd.DataFrame, value: str, label: str) -> None:
    y, found = table.index.to_numpy(), (table["padj"] <= LEVEL).to_numpy()
    for kind, (color, face) in STYLE.items():
        part = found == kind
        width = 2 * table.loc[part, SHARES[value]]
        ax.errorbar(table.loc[part, value], y[part], xerr=width, fmt="o", ms=5, color=color, mfc=face, elinewidth=0.8)
    ax.set_xlabel(label)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))


def _signed_root(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sign(values) * np.sqrt(np.abs(values))


def _signed_square(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sign(values) * np.square(values)
