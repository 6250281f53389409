"""Cells as coloured points: what the plots of archetypes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pathwayae import get
from pathwayae._slots import keys, store
from pathwayae.pl import _axes

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

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


class Colored(NamedTuple):
    """One value per cell: numbers, or codes of groups (−1 for none) with their names and colours."""

    values: NDArray[Any]
    groups: list[str]
    palette: list[str]
    label: str


def colored(adata: AnnData, color: str | None, layer: str | None) -> Colored | None:
    """What a name stands for: a column of ``obs``, a gene, or a component of ``pae.tl.fit``, in this order.

    Raises
    ------
    KeyError
        If it is none of them.
    """
    if color is None:
        return None
    if color in adata.obs:
        column = adata.obs[color]
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            return Colored(column.to_numpy(dtype=float), [], [], color)
        group = column.astype("category").cat.remove_unused_categories()
        names = [str(name) for name in group.cat.categories]
        given = [str(one) for one in np.ravel(adata.uns.get(f"{color}_colors", []))]
        whole = len(given) == len(column.astype("category").cat.categories) == len(names)
        palette = given if whole else [COLORS[i % len(COLORS)] for i in range(len(names))]
        return Colored(group.cat.codes.to_numpy(), names, palette, color)
    if color in adata.var_names:
        return Colored(np.asarray(adata.obs_vector(color, layer=layer), dtype=float), [], [], color)
    if store.kind_of(adata, keys.DEFAULT) and color in get.component_names(adata):
        return Colored(get.scores(adata)[color].to_numpy(dtype=float), [], [], color)
    msg = f"color={color!r} is no column of adata.obs, no gene of adata.var_names and no component of adata.uns['pae']."
    raise KeyError(msg)


def width(color: Colored | None, own: float) -> float:
    """Inches of a figure with ``own`` for the cells, and room for their legend or colour bar."""
    if color is None:
        return own
    return own + (0.8 + _axes.room([_axes.wrap(name, 26) for name in color.groups]) if color.groups else 1.3)


def draw(ax: Axes, points: NDArray[np.float64], color: Colored | None, *, size: float | None, cmap: str) -> None:
    """Scatter the cells, with a legend of groups or a colour bar.

    Groups are drawn in random order, so that none hides the others; high numbers are drawn on top.
    """
    area = float(np.clip(14_000 / max(len(points), 1), 1.0, 14)) if size is None else size
    style: dict[str, Any] = {"s": area, "linewidths": 0, "rasterized": True}
    if color is None:
        ax.scatter(*points.T, color=PALE, **style)
        return
    if color.groups:
        order = np.random.default_rng(0).permutation(len(points))
        palette = np.array([*color.palette, PALE], dtype=object)
        ax.scatter(*points[order].T, c=list(palette[color.values[order]]), **style)
        handles = [
            Line2D([], [], ls="", marker="o", ms=5, color=one, label=_axes.wrap(name, 26))
            for name, one in zip(color.groups, color.palette, strict=True)
        ]
        ax.legend(
            handles=handles,
            title=color.label,
            loc="center left",
            bbox_to_anchor=(1.06, 0.5),
            frameon=False,
            fontsize="small",
            handletextpad=0.2,
        )
        return
    known = np.isfinite(color.values)
    low, high = np.percentile(color.values[known], [1, 99]) if known.any() else (0.0, 1.0)
    order = np.argsort(np.where(known, color.values, -np.inf), kind="stable")
    cells = ax.scatter(
        *points[order].T, c=color.values[order], cmap=cmap, vmin=low, vmax=high if high > low else low + 1.0, **style
    )
    bar = ax.figure.colorbar(
        cells, ax=ax, label=_axes.wrap(color.label, 30), extend="both", shrink=0.6, aspect=16, pad=0.1
    )
    bar.ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def short(names: list[str]) -> list[str]:
    """Names as they fit a corner: the number alone where all are called ``archetype_…``."""
    common = "archetype_"
    return [name.removeprefix(common) for name in names] if all(name.startswith(common) for name in names) else names
