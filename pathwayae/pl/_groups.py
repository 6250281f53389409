"""Groups of cells along an axis: their names with numbers of cells, and a tree of those that are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.cluster.hierarchy import dendrogram, linkage

from pathwayae._slots.groups import groups_of, without
from pathwayae.pl import _axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

__all__ = ["draw_tree", "groups_of", "labels", "order", "title", "tree"]
TREE = 0.4  # inches


def labels(names: Sequence[object], counts: Sequence[int]) -> list[str]:
    """Names of groups with their numbers of cells."""
    return [f"{_axes.wrap(str(name), 26)} ({n:,})" for name, n in zip(names, counts, strict=True)]


def title(group: pd.Series) -> str:
    """Name of the axis of groups; it says how many cells have none."""
    left_out = without(group)
    return f"{_axes.plain(group.name)} (number of cells{f';{chr(10)}{left_out}' if left_out else ''})"


def tree(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Average linkage of rows by Euclidean distance, like rows next to each other; None for fewer than two."""
    return linkage(values, "average", optimal_ordering=True) if len(values) > 1 else None


def order(found: NDArray[np.float64] | None, n: int) -> list[int]:
    """Order of the leaves of a tree."""
    return list(range(n)) if found is None else dendrogram(found, no_plot=True)["leaves"]


def draw_tree(ax: Axes, found: NDArray[np.float64] | None, side: Literal["top", "right"]) -> None:
    """Draw a tree along one side of a panel whose leaves are at 0, 1, 2 and so on."""
    if found is None:
        return
    drawn = dendrogram(found, no_plot=True)
    inset = _axes.inset(ax, side, TREE, 0.03)
    for leaves, heights in zip(drawn["icoord"], drawn["dcoord"], strict=True):
        at = (np.array(leaves) - 5) / 10
        inset.plot(*((at, heights) if side == "top" else (heights, at)), color="0.3", linewidth=0.8)
    top = 1.03 * max(map(max, drawn["dcoord"])) or 1.0
    if side == "top":
        inset.set(xlim=ax.get_xlim(), ylim=(0, top))
    else:
        inset.set(ylim=ax.get_ylim(), xlim=(0, top))
    inset.set_axis_off()
