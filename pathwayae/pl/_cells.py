"""Cells as coloured points: what the plots of cells share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import matplotlib as mpl
import matplotlib.patheffects as effects
import numpy as np
import pandas as pd
from matplotlib.colors import is_color_like, to_hex, to_rgb
from matplotlib.lines import Line2D

from pathwayae import get
from pathwayae._slots import keys, lookup
from pathwayae.pl import _axes, _points

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

Palette: TypeAlias = dict[str, str] | Sequence[str] | str
LegendLoc: TypeAlias = Literal["right margin", "on data", "none"]

# Okabe and Ito's colours, the yellow last because it is pale, and three more that differ from them in lightness.
COLORS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#000000",
    "#8C564B",
    "#7F7F7F",
    "#332288",
    "#F0E442",
)
PALE = "#D0D0D0"
MOST = 20  # names of groups under each other


class Colored(NamedTuple):
    """One value per cell: numbers, or codes of groups (−1 for none) with their names and colours."""

    values: NDArray[Any]
    groups: list[str]
    palette: list[str]
    label: str


def colored(
    adata: AnnData,
    color: str | None,
    *,
    layer: str | None,
    palette: Palette | None,
    legend_loc: str,
    key: str = keys.DEFAULT,
    first: bool = False,
) -> Colored | None:
    """What a name stands for: a column of ``obs``, a gene, or a component of a fit, in this order or components first.

    Raises
    ------
    KeyError
        If it is none of them.
    ValueError
        If the palette lacks a colour of a group, or there is no such place for the legend.
    """
    if legend_loc not in get_args(LegendLoc):
        known = ", ".join(map(repr, get_args(LegendLoc)))
        msg = f"legend_loc={legend_loc!r} is not known; choose one of {known}."
        raise ValueError(msg)
    if color is None:
        return None
    fitted = bool(lookup.kind_of(adata, key))
    if first and fitted and color in get.component_names(adata, key=key):
        return Colored(get.scores(adata, color, key=key)[color].to_numpy(dtype=float), [], [], "score")
    if color in adata.obs:
        column = adata.obs[color]
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            return Colored(column.to_numpy(dtype=float), [], [], color)
        group = column.astype("category").cat.remove_unused_categories()
        names = [str(name) for name in group.cat.categories]
        if palette is not None:
            return Colored(group.cat.codes.to_numpy(), names, _from_palette(palette, names), color)
        given = [str(one) for one in np.ravel(adata.uns.get(f"{color}_colors", []))]
        whole = len(given) == len(column.astype("category").cat.categories) == len(names)
        own = given if whole else [_color(i) for i in range(len(names))]
        return Colored(group.cat.codes.to_numpy(), names, own, color)
    if color in adata.var_names:
        return Colored(adata[:, color].to_df(layer=layer)[color].to_numpy(dtype=float), [], [], color)
    if fitted and color in get.component_names(adata, key=key):
        return Colored(get.scores(adata, color, key=key)[color].to_numpy(dtype=float), [], [], color)
    if first:
        get.component_names(adata, color, key=key)  # says what is close
    msg = (
        f"color={color!r} is no column of adata.obs, no gene of adata.var_names and no component of adata.uns[{key!r}]."
    )
    raise KeyError(msg)


def _color(i: int) -> str:
    """The i-th colour: after the first ones lighter, darker and pale ones of the same hues, 38 in all."""
    if i < len(COLORS):
        return COLORS[i]
    hues = [one for one in COLORS if len(set(to_rgb(one))) > 1]
    shade, hue = divmod(i - len(COLORS), len(hues))
    other, part = ((1.0, 0.5), (0.0, 0.45), (1.0, 0.75))[shade % 3]
    red, green, blue = (one + part * (other - one) for one in to_rgb(hues[hue]))
    return to_hex((red, green, blue))


def _from_palette(palette: Palette, names: list[str]) -> list[str]:
    """One colour per group: by name, in their order, or from a colour map."""
    if isinstance(palette, str):
        if palette not in mpl.colormaps:
            msg = f"palette={palette!r} is no colour map of matplotlib, such as 'tab20'; a list of colours will do too."
            raise ValueError(msg)
        cmap = mpl.colormaps[palette]
        continuous = cmap.N >= 256
        found = cmap(np.linspace(0, 1, len(names)) if continuous else np.arange(min(cmap.N, len(names))))
        palette = [to_hex(one) for one in found]
    if isinstance(palette, Mapping):
        if missing := [name for name in names if name not in palette]:
            msg = f"palette has no colour for {', '.join(map(repr, missing))}."
            raise ValueError(msg)
        palette = [palette[name] for name in names]
    if len(palette) < len(names):
        msg = f"palette has {len(palette)} colours, too few for {len(names)} groups."
        raise ValueError(msg)
    if wrong := [one for one in palette if not is_color_like(one)]:
        msg = f"palette: matplotlib knows no colour {wrong[0]!r}."
        raise ValueError(msg)
    return list(palette[: len(names)])


def width(color: Colored | None, own: float, legend_loc: str) -> float:
    """Inches of a figure with ``own`` for the cells, and room for their legend or colour bar."""
    if color is None or (color.groups and legend_loc != "right margin"):
        return own
    columns = -(-len(color.groups) // MOST)
    names = [_axes.wrap(name, 26) for name in color.groups]
    return own + (0.4 + columns * (0.4 + _axes.room(names)) if names else 1.3)


def height(color: Colored | None, own: float, legend_loc: str) -> float:
    """Inches of a figure with ``own`` for the cells, and enough for the lines of their legend."""
    if color is None or legend_loc != "right margin":
        return own
    return max(own, 0.6 + 0.19 * sum(1 + _axes.wrap(name, 26).count("\n") for name in color.groups[:MOST]))


def draw(
    ax: Axes,
    points: NDArray[np.float64],
    color: Colored | None,
    *,
    size: float | None,
    colors: _axes.Colors,
    legend_loc: str,
    percentiles: tuple[float, float] = (1.0, 99.0),
    pad: float = 0.1,
) -> None:
    """Scatter the cells, with names of groups or a colour bar.

    Groups are drawn in random order, so that none hides the others; high numbers are drawn on top.
    """
    style: dict[str, Any] = {"s": _points.area(len(points), size), "linewidths": 0, "rasterized": True}
    if color is None:
        x, y = points.T
        ax.scatter(x, y, color=PALE, **style)
        return
    if color.groups:
        order = np.random.default_rng(0).permutation(len(points))
        palette = np.array([*color.palette, PALE], dtype=object)
        x, y = points[order].T
        ax.scatter(x, y, c=list(palette[color.values[order]]), **style)
        if legend_loc == "right margin":
            _legend(ax, color)
        elif legend_loc == "on data":
            _names(ax, points, color)
        return
    known = np.isfinite(color.values)
    low, high = np.percentile(color.values[known], percentiles) if known.any() else (0.0, 1.0)
    order = np.argsort(np.where(known, color.values, -np.inf), kind="stable")
    x, y = points[order].T
    cells = ax.scatter(x, y, c=color.values[order], **style, **colors.scale(float(low), float(high)))
    _points.color_bar(ax, cells, _axes.wrap(color.label, 30), colors=colors, pad=pad)


def _legend(ax: Axes, color: Colored) -> None:
    handles = [
        Line2D([], [], ls="", marker="o", ms=5, color=one, label=_axes.wrap(name, 26))
        for name, one in zip(color.groups, color.palette, strict=True)
    ]
    ax.legend(
        handles=handles,
        title=_axes.plain(color.label),
        ncols=-(-len(handles) // MOST),
        loc="center left",
        bbox_to_anchor=(1.06, 0.5),
        frameon=False,
        fontsize="small",
        handletextpad=0.2,
    )


def _names(ax: Axes, points: NDArray[np.float64], color: Colored) -> None:
    """Name each group at the median of its cells."""
    edge = [effects.withStroke(linewidth=2.5, foreground="white")]
    for j, name in enumerate(color.groups):
        x, y = np.nanmedian(points[color.values == j], axis=0)
        label = _axes.wrap(name, 18)
        ax.text(x, y, label, ha="center", va="center", fontsize="small", path_effects=edge, zorder=6)


def short(names: list[str]) -> list[str]:
    """Names as they fit a corner: the number alone where all are called ``archetype_…``."""
    common = "archetype_"
    return [name.removeprefix(common) for name in names] if all(name.startswith(common) for name in names) else names
