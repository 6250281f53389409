"""Mean scores of pathways in groups of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pathwayae import get
from pathwayae._slots import keys, lookup
from pathwayae.pl import _axes, _names
from pathwayae.pl._groups import groups_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

MAX_SD = 2.5  # colours end here at the latest
N_AT_ONCE = 256  # components whose scores are taken as float64


def scores(
    adata: AnnData,
    groupby: str,
    components: str | Sequence[str] | None = None,
    *,
    n_pathways: int = 20,
    only: str | None = None,
    standard_scale: bool = True,
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
    """Draw a heat map of mean scores, pathways × groups of cells.

    Pathways are ordered by the group in which they are highest, so that blocks show; groups keep the order of ``obs``.
    The colours end at the 98th percentile of the absolute means, and at 2.5 s.d. at the latest, so that one small
    extreme group does not make all others pale; the pointed ends of the colour bar stand for what lies beyond. A prefix
    that all names share (HALLMARK_) is left out, and the middle of long names.

    Parameters
    ----------
    adata
        A fitted or transformed AnnData. Read through :func:`pathwayae.get.scores`.
    groupby
        Column of ``obs``: categories, strings or booleans. Cells without a group are left out.
    components
        Names of components, free ones too. ``None`` for the `n_pathways` pathways whose scores differ most between
        the groups (share of their variance that lies between groups).
    n_pathways
        Number of components if `components` is ``None``, at most; the title says of how many.
    only
        Only pathways with this verdict of :func:`pathwayae.get.trust`, such as ``"used"``, if `components` is ``None``.
    standard_scale
        Standardise each component over the cells before taking means: colours then compare between rows, in s.d.
        from the mean of all cells.
    cmap
        Diverging colour map; its centre is at 0.
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
        Axes to draw on. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    matplotlib.axes.Axes
        The image on it holds the means, in the order drawn.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, `groupby` is not in ``obs``, or a name is unknown.
    ValueError
        If `groupby` holds floating-point numbers, no cell has a group, no pathway has the verdict `only`, or `norm`
        comes with limits.

    Examples
    --------
    >>> ax = pae.pl.scores(adata, "cell_type", show=False)
    >>> ax.get_xlabel()
    'cell_type (number of cells)'

    Pathways by name, with limits of one's own:

    >>> ax = pae.pl.scores(adata, "cell_type", ["program_1", "program_2"], vmax=1, show=False)
    >>> ax.images[0].get_clim()
    (-1.0, 1.0)
    """
    colors = _axes.Colors(cmap, norm, vmin, vmax)
    group = groups_of(adata, groupby)
    if n_pathways < 1:
        msg = f"n_pathways must be at least 1, got {n_pathways}."
        raise ValueError(msg)
    names = get.component_names(adata, components, key=key)
    if components is None and (n_all := int(lookup.fit_of(adata, key).get(keys.N_PATHWAYS, 0))):
        names = names[:n_all] if only is None else _with_verdict(adata, names[:n_all], only, key)
    means, between = _means(adata, names, group, standard_scale=standard_scale, key=key)
    own = ""
    if components is None:
        means = means.loc[between.sort_values(ascending=False, kind="stable").index[:n_pathways]]
        words = f"{len(means):,} of {len(names):,} pathways, those that differ most between groups"
        own = words if len(means) < len(names) else ""
    above = _axes.titles([own], title)[0]
    best = means.to_numpy().argmax(axis=1)
    means = means.iloc[np.lexsort((-means.to_numpy().max(axis=1), best))]
    counts = group.value_counts(sort=False)
    rows = _names.labels(means.index, 42)
    columns = [f"{_axes.wrap(str(name), 26)} ({counts[name]:,})" for name in means.columns]
    height = max(1.6, _axes.pitch(rows, 0.27) * len(rows))  # of the heat map; labels and colour bar come on top
    width = max(1.2, 0.42 * len(columns))
    ax = _axes.single(ax, (width + _axes.room(rows) + 1.2, max(3.2, height + _axes.room(columns) + 0.5)))
    drawn, limit = means.to_numpy(), _limit(means, standard_scale=standard_scale)
    image = ax.imshow(drawn, aspect="auto", interpolation="nearest", **colors.scale_around_zero(limit))
    ax.set_yticks(range(len(rows)), rows, fontsize="small")
    ax.set_xticks(range(len(columns)), columns, rotation=90, fontsize="small")
    ax.set_xlabel(f"{groupby} (number of cells)")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    length = min(1.0, 1.9 / height)
    label = "mean score (s.d.)" if standard_scale else "mean score"
    extend = _axes.extend_of(image, drawn)
    ax.figure.colorbar(image, ax=ax, label=label, extend=extend, shrink=length, aspect=14, pad=0.02)
    _axes.head(ax, above)
    _axes.finish(ax, show=show, save=save)
    return ax


def _with_verdict(adata: AnnData, names: list[str], verdict: str, key: str) -> list[str]:
    """Pathways with a verdict of ``pae.get.trust``."""
    table = get.trust(adata, names, key=key)
    if not (found := table.loc[table["verdict"] == verdict, "component"].tolist()):
        counts = table["verdict"].value_counts().to_dict()
        msg = f"only={verdict!r}, but the verdicts of the {len(names)} pathways are {counts}; see pae.get.trust."
        raise ValueError(msg)
    return found


def _limit(means: pd.DataFrame, *, standard_scale: bool) -> float:
    """Where the colours end: the largest absolute mean but for the top 2 %, 2.5 s.d. at most."""
    limit = float(np.percentile(np.abs(means.to_numpy()), 98, method="higher"))
    return (min(limit, MAX_SD) if standard_scale else limit) or 1.0


def _means(
    adata: AnnData, names: list[str], group: pd.Series, *, standard_scale: bool, key: str
) -> tuple[pd.DataFrame, pd.Series]:
    """Mean per component and group, and the share of each component's variance between the groups."""
    share = group.value_counts(normalize=True, sort=False)
    parts, between = [], []
    for start in range(0, len(names), N_AT_ONCE):
        table = get.scores(adata, names[start : start + N_AT_ONCE], key=key).astype(float)
        spread = table.std(ddof=0).replace(0.0, 1.0)
        standard = ((table - table.mean()) / spread).groupby(group, observed=True).mean().T
        parts.append(standard if standard_scale else table.groupby(group, observed=True).mean().T)
        between.append((standard**2).mul(share, axis=1).sum(axis=1))
    return pd.concat(parts), pd.concat(between)
