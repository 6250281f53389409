"""Which pathways differ, over many comparisons: pathways × comparisons as dots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Normalize

from pathwayae import get
from pathwayae._slots import keys
from pathwayae.core.gates import gated
from pathwayae.pl import _axes, _names, _sizes
from pathwayae.pl._contrasts import ranked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.colors import Colormap

CAP = 4.0  # of −log10 FDR
STEPS = {"0.5": 0.5, "0.05": 0.05, "0.01": 0.01, "≤ 0.0001": 1e-4}  # of the legend
LEAST = 1.0  # s.d. at the end of the colours, at least: a small difference looks small


@gated()
def rank_pathways(
    adata: AnnData,
    pathways: str | Sequence[str] | None = None,
    *,
    n_pathways: int = 25,
    group: str | None = None,
    within: str | None = None,
    key_added: str | None = None,
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
    """Draw which pathways differ between groups, pathways × comparisons, as dots.

    The colour of a dot is the effect in standard deviations of cells, from blue over white at 0 to red, with at least
    ± 1 at the ends of the colours. Its area grows with −log10 of the FDR, up to .0001. Dots with FDR above .05 are
    hollow. A score that does not vary has no dot.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.rank_pathways``. Read through :func:`pathwayae.get.rank_pathways`.
    pathways
        Names, in the order wanted. ``None`` for the leading ones: the best of each comparison before the second best
        of any, significant ones first.
    n_pathways
        Number of leading pathways.
    group
        Only comparisons of this group. ``None`` for all.
    within
        Only comparisons in this level of the column that groups were compared within. ``None`` for all.
    key_added
        Name of the entry that ``pae.tl.rank_pathways`` was told to write.
    cmap
        Colour map, a diverging one.
    norm
        Scale of the colours, with limits of its own. ``None`` for a linear one.
    vmin
        Value at the low end of the colours. ``None`` to choose by the values.
    vmax
        Value at the high end of the colours. ``None`` to choose by the values.
    title
        Title of the panel. ``None`` for what is compared.
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
        The first scatter on it holds the effects with FDR up to .05, the second one the others.

    Raises
    ------
    KeyError
        If nothing was compared under `key`, or a pathway is unknown.
    ValueError
        If a group or level was not compared, there are no *p*-values, more than 100 rows are asked for, or `norm`
        comes with limits.

    Examples
    --------
    >>> pae.tl.rank_pathways(adata, "cell_type", sample_key="donor")
    >>> ax = pae.pl.rank_pathways(adata, n_pathways=5, show=False)
    >>> len(ax.get_yticklabels())
    5
    """
    colors = _axes.Colors(cmap, norm, vmin, vmax)
    table, params = ranked.read(adata, group, within, key_added, key)
    if not 1 <= n_pathways <= _axes.MAX_ROWS:
        msg = f"n_pathways must be from 1 to {_axes.MAX_ROWS}, got {n_pathways}."
        raise ValueError(msg)
    pairs = ranked.comparisons(table)
    if pathways is None:
        rows, said = leading(table, pairs, n_pathways), ", the leading ones"
    else:
        rows, said = get.component_names(adata, pathways, key=key), ""
    if len(rows) > _axes.MAX_ROWS:
        msg = f"{len(rows)} pathways are too many for one figure, which takes {_axes.MAX_ROWS}; name fewer."
        raise ValueError(msg)
    n_all = table["pathway"].nunique()
    count = f"{len(rows)} of {n_all:,} pathways{said}" if len(rows) < n_all else ""
    own = _axes.wrap(ranked.contrast(table, str(params["groupby"])), 48)
    above = _axes.titles(["\n".join(filter(None, [own, count]))], title)[0]
    left, below = _names.labels(rows, 44), _names.titles(ranked.words(pairs), 30, 2)
    pitch = max(0.3, 0.08 + 0.15 * max(1 + name.count("\n") for name in below))
    width = _axes.wide(max(1.0, pitch * len(pairs)), above.split("\n"), 0.9)
    size = (width + 1.9 + _axes.room(left), max(3.6, _axes.pitch(left, 0.24) * len(rows) + 0.8 + _axes.room(below)))
    ax = _axes.single(ax, size)
    _draw(ax, table[table["pathway"].isin(rows)], rows, pairs, colors)
    ax.set_xticks(range(len(pairs)), below, rotation=90, fontsize="small")
    ax.set_yticks(range(len(rows)), left, fontsize="small")
    ax.set(xlim=(-0.6, len(pairs) - 0.4), ylim=(len(rows) - 0.4, -0.6))
    ax.set_xlabel(_axes.plain(params["within"] or params["groupby"]))
    ax.tick_params(length=0)
    ax.grid(visible=True, color="0.92", linewidth=0.8)
    ax.set_axisbelow(True)
    _axes.head(ax, above)
    _axes.finish(ax, show=show, save=save)
    return ax


def leading(table: pd.DataFrame, pairs: list[tuple[str, str]], n: int) -> list[str]:
    """Pathways to show; of several groups, those that are highest in the same one next to each other."""
    place = table.groupby(["group", "within"]).cumcount()  # rows come by p
    order = table.assign(late=~(table["padj"] <= ranked.LEVEL), place=place).sort_values(["late", "place", "p"])
    rows = order["pathway"].drop_duplicates().head(n).tolist()
    if len({group for group, _ in pairs}) < 2:
        best = table.groupby("pathway")["p"].min()
        return sorted(rows, key=lambda name: float(np.nan_to_num(best[name], nan=2.0)))
    column = {pair: i for i, pair in enumerate(pairs)}
    top = table.sort_values("effect", ascending=False, kind="stable").drop_duplicates("pathway").set_index("pathway")
    places = [column[pair] for pair in zip(top["group"], top["within"], strict=True)]
    key = dict(zip(top.index, zip(places, -top["effect"], strict=True), strict=True))
    return sorted(rows, key=key.__getitem__)


def area(padj: Any) -> Any:
    """Area of a dot in points²."""
    return 8.0 + 34.0 * np.clip(-np.log10(np.maximum(padj, 1e-300)), 0.0, CAP)


def _draw(ax: Axes, table: pd.DataFrame, rows: list[str], pairs: list[tuple[str, str]], colors: _axes.Colors) -> None:
    """Draw the dots, full and hollow, with their legend and colour bar."""
    table = table[table["p"].notna() & table["effect"].notna()]
    effect = table["effect"].to_numpy(dtype=float)
    scale = colors.scale_around_zero(max(LEAST, float(np.abs(effect).max(initial=0.0))))
    scale = {"cmap": scale["cmap"], "norm": scale.get("norm") or Normalize(scale["vmin"], scale["vmax"])}
    scale["norm"].autoscale_None(effect)
    x = np.array([pairs.index(pair) for pair in zip(table["group"], table["within"], strict=True)], dtype=int)
    y = np.array([rows.index(name) for name in table["pathway"]], dtype=int)
    padj = table["padj"].to_numpy(dtype=float)
    full = padj <= ranked.LEVEL
    dots = ax.scatter(
        x[full], y[full], s=area(padj[full]), c=effect[full], **scale, edgecolors="0.25", linewidths=0.5, zorder=2
    )
    edges = mpl.colormaps.get_cmap(scale["cmap"])(scale["norm"](effect[~full])) * [0.8, 0.8, 0.8, 1.0]
    ax.scatter(x[~full], y[~full], s=area(padj[~full]), facecolors="none", edgecolors=edges, linewidths=0.9)
    _legend(ax, dots, effect)


def _legend(ax: Axes, dots: PathCollection, effect: Any) -> None:
    _sizes.legend_and_bar(
        ax,
        dots,
        [area(one) for one in STEPS.values()],
        list(STEPS),
        title="FDR\n(hollow: > 0.05)",
        label="effect (s.d. of cells)",
        extend=_axes.extend_of(dots, effect) if len(effect) else "neither",
        hollow=[one > ranked.LEVEL for one in STEPS.values()],
    )
