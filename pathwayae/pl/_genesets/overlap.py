"""How alike gene sets are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from pathwayae import gs
from pathwayae.core.gates import gated
from pathwayae.pl import _axes, _names

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

MEASURES = {
    "jaccard": "Jaccard index\n(shared genes / genes of either)",
    "containment": "containment\n(shared genes / genes of the smaller set)",
}


@gated()
def overlap(
    collection: gs.Pathways,
    *,
    n_sets: int = 60,
    measure: Literal["jaccard", "containment"] = "jaccard",
    cmap: str | Colormap = "Blues",
    norm: Normalize | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw a clustered heat map of the overlap of gene sets: dark blocks are sets that say the same.

    Parameters
    ----------
    collection
        The gene sets, or anything :func:`pathwayae.gs.as_collection` takes.
    n_sets
        Number of sets, at most. Of a larger collection the pairs with the largest overlap are taken, and the title says
        so.
    measure
        ``"jaccard"`` (shared genes / genes of either set) or ``"containment"`` (shared genes / genes of the smaller
        set: 1 if one lies within the other).
    cmap
        Sequential colour map, from 0 to 1.
    norm
        Scale of the colours, with limits of its own. ``None`` for a linear one.
    vmin
        Value at the low end of the colours. ``None`` to choose by the values.
    vmax
        Value at the high end of the colours. ``None`` to choose by the values.
    title
        Title of the panel. ``None`` for the plot's own, if it has one.
    ax
        Axes to draw on. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    matplotlib.axes.Axes
        The image on it holds the overlaps, in the order drawn.

    Raises
    ------
    ValueError
        If `measure` is unknown, `n_sets` is below 2, there are fewer than two sets, or `norm` comes with limits.

    Examples
    --------
    >>> sets = {"whole": ["A", "B", "C"], "part": ["A", "B"], "other": ["D", "E"]}
    >>> ax = pae.pl.overlap(sets, measure="containment", show=False)
    >>> ax.get_title(loc="left")
    '3 sets (number of genes)'
    """
    colors = _axes.Colors(cmap, norm, vmin, vmax)
    sets = gs.as_collection(collection)
    if measure not in MEASURES:
        msg = f"measure={measure!r} is unknown. Choose one of {', '.join(map(repr, MEASURES))}."
        raise ValueError(msg)
    if n_sets < 2 or len(sets) < 2:
        msg = f"An overlap needs two sets: n_sets={n_sets}, and the collection has {len(sets)}."
        raise ValueError(msg)
    chosen = sets if len(sets) <= n_sets else sets.select(_closest(sets, measure, n_sets))
    own = f"{len(sets):,} sets (number of genes)"
    if len(chosen) < len(sets):
        own = f"{len(chosen):,} of {len(sets):,} sets: the pairs with the largest overlap"
    above = _axes.titles([own], title)[0]
    table = _clustered(chosen.overlap_matrix(measure=measure))
    named = zip(_names.labels(table.index, 60), table.index, strict=True)
    labels = [f"{short} ({len(sets[name]):,})" for short, name in named]
    lines = np.array([label.count("\n") + 1 for label in labels])
    height = max(1.6, (0.06 + 0.06 * (lines[1:] + lines[:-1]).max()) * len(table))
    ax = _axes.single(ax, (6.2 + max(1.6, 0.17 * len(table)), 0.9 + height))
    drawn = table.to_numpy()
    image = ax.imshow(drawn, aspect="auto", interpolation="nearest", **colors.scale(0.0, 1.0))
    ax.set_yticks(range(len(table)), labels, fontsize="small")
    ax.set_xticks([])
    ax.set_xlabel("the same sets, in the same order")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    extend, length = _axes.extend_of(image, drawn), min(1.0, 3.2 / height)
    ax.figure.colorbar(image, ax=ax, label=MEASURES[measure], extend=extend, shrink=length, aspect=14, pad=0.02)
    _axes.head(ax, above, loc="left")
    _axes.finish(ax, show=show, save=save)
    return ax


def _closest(sets: gs.GeneSetCollection, measure: str, n_sets: int) -> list[str]:
    """Sets of the pairs with the largest overlap, both sets of each; if few overlap, others in their order."""
    chosen = _of_pairs(sets.overlap(jaccard=0.5), measure, n_sets) if measure == "jaccard" else []
    if len(chosen) < n_sets:
        chosen = _of_pairs(sets.overlap(), measure, n_sets)
    return list(dict.fromkeys([*chosen, *sets]))[:n_sets]


def _of_pairs(pairs: pd.DataFrame, measure: str, n_sets: int) -> list[str]:
    pairs = pairs.sort_values([measure, "n_shared"], ascending=False, kind="stable")
    chosen: dict[str, None] = {}
    for pair in zip(pairs["set_a"], pairs["set_b"], strict=True):
        if len(chosen.keys() | pair) <= n_sets:
            chosen |= dict.fromkeys(pair)
        if len(chosen) == n_sets:
            break
    return list(chosen)


def _clustered(table: pd.DataFrame) -> pd.DataFrame:
    """Rows and columns in the order of an average-linkage tree whose neighbouring leaves are alike."""
    distance = 1 - table.to_numpy()
    np.fill_diagonal(distance, 0)
    tree = hierarchy.linkage(squareform(distance, checks=False), method="average", optimal_ordering=True)
    order = hierarchy.leaves_list(tree)
    return table.iloc[order, order]
