"""Effects and p-values of one comparison or several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from pathwayae._slots import keys
from pathwayae.core.gates import gated
from pathwayae.pl import _axes, _names
from pathwayae.pl._contrasts import ranked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

NAMES = {"p": "p", "padj": "FDR"}
LINE = 0.135  # inches of a line of a name
LEAST = 0.5  # s.d. on either side of 0, at least


@gated()
def volcano(
    adata: AnnData,
    *,
    n_labels: int = 8,
    group: str | None = None,
    within: str | None = None,
    y: Literal["p", "padj"] = "p",
    key_added: str | None = None,
    ncols: int = 3,
    key: str = keys.DEFAULT,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes | NDArray[Any]:
    """Draw effects against −log10 *p*, a panel per comparison.

    Pathways with FDR up to .05 are red where they are higher in the group and blue where they are lower; the dashed
    line is the largest *p* with such an FDR, over all comparisons that were made. Panels share their axes.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.rank_pathways``. Read through :func:`pathwayae.get.rank_pathways`.
    n_labels
        Number of leading pathways with FDR up to .05 that are named in each panel.
    group
        Only comparisons of this group. ``None`` for all.
    within
        Only comparisons in this level of the column that groups were compared within. ``None`` for all.
    y
        ``"p"``, or ``"padj"`` for the FDR.
    key_added
        Name of the entry that ``pae.tl.rank_pathways`` was told to write.
    ncols
        Panels per row of a new figure.
    key
        Key of the fit.
    ax
        Axes to draw on, one per comparison; names stand to the right of them. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    matplotlib.axes.Axes, or an array of them where there are several comparisons.

    Raises
    ------
    KeyError
        If nothing was compared under `key`.
    ValueError
        If a group or level was not compared, there are no *p*-values, or over 48 panels would be drawn.

    Examples
    --------
    >>> pae.tl.rank_pathways(adata, "cell_type", sample_key="donor")
    >>> ax = pae.pl.volcano(adata, group="type_1", show=False)
    >>> ax.get_ylabel()
    '−log10 p'
    """
    if y not in NAMES:
        msg = f"y must be 'p' or 'padj', got {y!r}."
        raise ValueError(msg)
    if n_labels < 0:
        msg = f"n_labels must be 0 or above, got {n_labels}."
        raise ValueError(msg)
    whole, params = ranked.read(adata, None, None, key_added, key)
    table, _ = ranked.read(adata, group, within, key_added, key)
    table = table[table["p"].notna()]
    pairs = ranked.comparisons(table)
    named = table[table["padj"] <= ranked.LEVEL].groupby(["group", "within"]).head(n_labels)
    shown = list(dict.fromkeys(named["pathway"]))
    short = dict(zip(shown, _names.labels(shown, 40, 1), strict=True))
    lines = named["pathway"].map(lambda name: 1 + short[name].count("\n")).groupby([named["group"], named["within"]])
    tall = max(2.0, LINE * float(lines.sum().max())) if len(named) else 2.0
    size = (2.9 + 0.8 * _axes.room(short.values()), tall + 1.0)
    axes, _ = _axes.panels(ax, len(pairs), ncols=ncols, size=size)
    limit = 1.08 * max(LEAST, float(table["effect"].abs().max()))
    top = 1.08 * max(2.0, float(_strength(table[y]).max()))
    line = ranked.LEVEL if y == "padj" else whole.loc[whole["padj"] <= ranked.LEVEL, "p"].max()
    heads = ranked.words(pairs)
    for one, pair, head in zip(axes, pairs, heads, strict=True):
        rows = table[(table["group"] == pair[0]) & (table["within"] == pair[1])]
        one.set(xlim=(-limit, limit), ylim=(-0.02 * top, top))
        _panel(one, rows, y, line)
        inches = tall if ax is None else one.get_window_extent().height / one.figure.dpi
        _label(one, rows[rows["padj"] <= ranked.LEVEL].head(n_labels), y, short, inches)
        n = int((rows["padj"] <= ranked.LEVEL).sum())
        _axes.head(one, f"{_axes.wrap(head, 34)}\n{n} of {len(rows)} at FDR 0.05", fontsize="small")
    what = _axes.wrap(ranked.contrast(table, str(params["groupby"])), 34)
    for one in axes:
        one.set_xlabel(f"effect (s.d. of cells)\n{what}", fontsize="small")
        one.set_ylabel(f"−log10 {NAMES[y]}", fontsize="small")
    _axes.finish(axes, show=show, save=save)
    return axes[0] if len(axes) == 1 else np.array(axes, dtype=object)


def _strength(p: pd.Series) -> NDArray[np.float64]:
    return -np.log10(np.maximum(p.to_numpy(dtype=float), 1e-300)) + 0.0


def _panel(ax: Axes, rows: pd.DataFrame, y: str, line: float) -> None:
    """Points of one comparison, and the line of the FDR if anything reaches it."""
    effect = rows["effect"].to_numpy(dtype=float)
    significant = rows["padj"].to_numpy() <= ranked.LEVEL
    color = np.where(significant, np.where(effect > 0, _axes.VERMILLION, _axes.BLUE), "#B0B0B0")
    ax.scatter(effect, _strength(rows[y]), s=14, c=list(color), edgecolors="white", linewidths=0.3, zorder=3)
    ax.axvline(0.0, color="0.8", linewidth=0.8, zorder=1)
    if np.isfinite(line):
        at = -np.log10(max(line, 1e-300))
        ax.axhline(at, color="0.4", linewidth=0.8, linestyle="--", zorder=1)
        ax.annotate(
            "FDR 0.05",
            (0.0, at),
            (2, 2),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize="x-small",
            color="0.35",
        )
    ax.tick_params(labelsize="small")
    _axes.bare(ax)


def _label(ax: Axes, rows: pd.DataFrame, y: str, short: dict[str, str], inches: float) -> None:
    """Names in a column beside the panel, as many as fit, each with a line to its point, by height."""
    sizes = np.array([1 + short[name].count("\n") for name in rows["pathway"]]) * LINE / inches
    fit = np.cumsum(sizes) <= 1.001
    rows, sizes = rows[fit], sizes[fit]
    if rows.empty:
        return
    low, high = ax.get_ylim()
    height = (_strength(rows[y]) - low) / (high - low)
    order = np.lexsort((-rows["effect"].to_numpy(), -height))
    place = _spread(height[order], sizes[order])
    for at, i in zip(place, order, strict=True):
        row = rows.iloc[i]
        ax.annotate(
            short[row["pathway"]],
            (row["effect"], _strength(rows[y])[i]),
            (1.05, at),
            textcoords="axes fraction",
            fontsize="x-small",
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": "0.6",
                "linewidth": 0.5,
                "shrinkA": 1,
                "shrinkB": 2,
                "relpos": (0, 0.5),
            },
        )


def _spread(wanted: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centres of boxes from top to bottom, near where they are wanted, of which no two meet."""
    centre = np.minimum(wanted, 1.0 - sizes / 2)
    gaps = (sizes[1:] + sizes[:-1]) / 2
    for i in range(1, len(centre)):
        centre[i] = min(centre[i], centre[i - 1] - gaps[i - 1])
    if len(centre) and centre[-1] < sizes[-1] / 2:  # pushed out below: back up from the bottom
        centre[-1] = sizes[-1] / 2
        for i in range(len(centre) - 2, -1, -1):
            centre[i] = max(centre[i], centre[i + 1] + gaps[i])
    return centre
