"""Which components and groups a plot of scores shows, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pathwayae import get
from pathwayae._slots import keys, lookup
from pathwayae.pl import _axes, _groups, _names

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

MIN_SD, MAX_SD = 1.0, 2.5  # colours end here at the earliest and at the latest


class Shown(NamedTuple):
    """Means, shares of high scores and spreads, components × groups, as they are drawn.

    ``tree`` is that of the groups, if one is asked for; ``unit`` the s.d. that one unit of the means stands for.
    """

    means: pd.DataFrame
    high: pd.DataFrame
    groups: list[str]
    axis: str
    title: str
    tree: NDArray[np.float64] | None
    unit: float

    def limit(self) -> float:
        """Where the colours end: the largest absolute mean but for the top 2 %, from 1 to 2.5 s.d."""
        found = float(np.percentile(np.abs(self.means.to_numpy()), 98, method="higher"))
        if self.unit == 1.0:
            return min(max(found, MIN_SD), MAX_SD)
        return max(found, MIN_SD * self.unit)


def shown(
    adata: AnnData,
    groupby: str | Sequence[str],
    components: str | Sequence[str] | None,
    *,
    n_pathways: int,
    only: str | None,
    dendrogram: bool,
    standardize: bool = True,
    threshold: float = 1.0,
    key: str,
) -> Shown:
    """What is drawn; components by the group in which they are highest, so that blocks show."""
    if n_pathways < 1:
        msg = f"n_pathways must be at least 1, got {n_pathways}."
        raise ValueError(msg)
    group = _groups.groups_of(adata, groupby)
    names = get.component_names(adata, components, key=key)
    if components is None and (n_all := int(lookup.fit_of(adata, key).get(keys.N_PATHWAYS, 0))):
        names = names[:n_all] if only is None else _with_verdict(adata, names[:n_all], only, key)
    table = get.scores_by_group(adata, groupby, names, standardize=standardize, threshold=threshold, key=key)
    columns = [str(one) for one in group.cat.categories]
    means = table.pivot_table(index="component", columns="group", values="mean", sort=False)[columns]
    high = table.pivot_table(index="component", columns="group", values="share_high", sort=False)[columns]
    between = table.drop_duplicates("component").set_index("component")["between"]
    tree = _groups.tree(means.to_numpy().T) if dendrogram else None
    columns = [columns[i] for i in _groups.order(tree, len(columns))]
    most = min(n_pathways, _axes.MAX_ROWS) if components is None else _axes.MAX_ROWS
    chosen = between.sort_values(ascending=False, kind="stable").index[:most] if len(names) > most else between.index
    if components is None:
        chosen = between.loc[chosen].sort_values(ascending=False, kind="stable").index
    words = f"{len(chosen):,} of {len(names):,} pathways, those that differ most between groups"
    if len(columns) == 1 and standardize:
        words = "one group: the mean of all cells is 0"
    means = means.loc[chosen, columns]
    best = means.to_numpy().argmax(axis=1)
    means = means.iloc[np.lexsort((-means.to_numpy().max(axis=1), best))]
    counts = group.value_counts(sort=False)
    counts.index = counts.index.astype(str)
    return Shown(
        means,
        high.loc[means.index, columns],
        _groups.labels(columns, counts[columns].tolist()),
        _groups.title(group),
        words if len(chosen) < len(names) or len(columns) == 1 else "",
        tree,
        1.0 if standardize else _spread(adata, list(means.index), key),
    )


def _spread(adata: AnnData, names: list[str], key: str) -> float:
    """The largest s.d. over the cells, so that differences far below it look as small as they are."""
    return float(get.scores(adata, names, key=key).to_numpy(dtype=float).std(axis=0).max()) or 1.0


def _with_verdict(adata: AnnData, names: list[str], verdict: str, key: str) -> list[str]:
    """Pathways with a verdict of ``pae.get.trust``."""
    table = get.trust(adata, names, key=key)
    if not (found := table.loc[table["verdict"] == verdict, "component"].tolist()):
        counts = table["verdict"].value_counts().to_dict()
        msg = f"only={verdict!r}, but the verdicts of the {len(names)} pathways are {counts}; see pae.get.trust."
        raise ValueError(msg)
    return found


def panel(ax: Axes | None, one: Shown, *, swap_axes: bool, beside: float) -> tuple[Axes, float, NDArray[np.float64]]:
    """Axes with names of pathways and groups, the panel's height in inches, and the means as drawn."""
    many = len(one.means) > 40
    paths = _names.labels(one.means.index, 60 if many else 42, 1 if many else 2)
    rows, columns = (one.groups, paths) if swap_axes else (paths, one.groups)
    height = max(1.6, _axes.pitch(rows, 0.17 if len(rows) > 40 else 0.27) * len(rows))
    width = max(1.2, _axes.pitch(columns, 0.42 if len(columns) < 13 else 0.24) * len(columns))
    if swap_axes:
        height = max(height, 0.09 * max(map(len, one.axis.split("\n"))))
    width = _axes.wide(width, [one.title, *([] if swap_axes else [one.axis])], min(_axes.room(rows), beside - 0.2))
    room = 0.5 + _groups.TREE * (one.tree is not None and not swap_axes) + 0.2 * bool(one.title)
    beside += _groups.TREE * (one.tree is not None and swap_axes)
    ax = _axes.single(ax, (width + _axes.room(rows) + beside, max(3.2, height + _axes.room(columns) + room)))
    ax.set_yticks(range(len(rows)), rows, fontsize="small")
    ax.set_xticks(range(len(columns)), columns, rotation=90, fontsize="small")
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    if swap_axes:
        ax.set_ylabel(one.axis)
    else:
        ax.set_xlabel(one.axis)
    ax.tick_params(length=0)
    drawn = one.means.to_numpy()
    return ax, height, drawn.T if swap_axes else drawn
