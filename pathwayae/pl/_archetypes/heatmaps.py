"""What is high at each archetype, and which cells are there, as heat maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from pathwayae import get
from pathwayae._slots import archetypes as slots
from pathwayae._slots import keys
from pathwayae.core.gates import gated
from pathwayae.pl import _axes, _names
from pathwayae.pl import _cells as cells
from pathwayae.pl._groups import groups_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from numpy.typing import NDArray


@gated()
def archetype_profiles(
    adata: AnnData,
    features: Sequence[str] | None = None,
    *,
    n_features: int = 6,
    of: Literal["gene", "pathway"] = "gene",
    cmap: str | Colormap = "RdBu_r",
    norm: Normalize | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    title: str | None = None,
    key: str = keys.ARCHETYPES,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw a heat map of genes or pathways at the archetypes, the most specific ones of each.

    Colours are the values at the archetypes, each row less its mean over the archetypes and divided by its standard
    deviation there, so that rows with large and small values can be read side by side.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.archetype_features``. Read through :func:`pathwayae.get.archetype_features`.
    features
        Names of genes or pathways. ``None`` for the `n_features` most specific ones of each archetype.
    n_features
        Number of features of each archetype if `features` is ``None``: those with the largest t, above 0. One that
        leads at two archetypes is shown once.
    of
        ``"gene"`` or ``"pathway"``.
    cmap
        Diverging colour map; its centre is the mean over the archetypes.
    norm
        Scale of the colours, with limits of its own. ``None`` for a linear one.
    vmin
        Value at the low end of the colours. ``None`` to choose by the values.
    vmax
        Value at the high end of the colours. ``None`` to choose by the values.
    title
        Title of the panel. ``None`` for the plot's own, if it has one.
    key
        Key of the archetypes.
    ax
        Axes to draw on. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    matplotlib.axes.Axes
        The image on it holds the colours, in the order drawn.

    Raises
    ------
    KeyError
        If features were not tested under `key`, or a name is unknown.
    ValueError
        If `of` or `n_features` is out of range, `norm` comes with limits, or nothing is left to show.

    Examples
    --------
    >>> ax = pae.pl.archetype_profiles(adata, of="pathway", n_features=2, show=False)
    >>> [tick.get_text() for tick in ax.get_xticklabels()]
    ['0', '1', '2']
    """
    colors = _axes.Colors(cmap, norm, vmin, vmax)
    above = _axes.titles([""], title)[0]
    table = get.archetype_features(adata, of=of, key=key)
    names = table["archetype"].unique().tolist()
    values = table.pivot_table(index="feature", columns="archetype", values="value", aggfunc="first")[names]
    if features is None:
        best = get.archetype_features(adata, of=of, n_features=n_features, key=key)
        chosen = best["feature"].drop_duplicates().tolist()
    else:
        chosen = [str(name) for name in features]
        if unknown := [name for name in chosen if name not in values.index]:
            msg = f"features: no {of} {', '.join(map(repr, unknown))} was tested; see pae.get.archetype_features."
            raise KeyError(msg)
    if not chosen:
        msg = f"No {of} to show: run pae.tl.archetype_features on an AnnData that has them."
        raise ValueError(msg)
    shown = values.loc[chosen]
    spread = shown.std(axis=1, ddof=0).replace(0.0, 1.0)
    shown = shown.sub(shown.mean(axis=1), axis=0).div(spread, axis=0)
    rows = _names.labels(shown.index, 44)
    height, width = max(1.8, _axes.pitch(rows, 0.2) * len(rows)), max(1.4, 0.38 * len(names))
    ax = _axes.single(ax, (width + _axes.room(rows) + 1.3, height + 0.9))
    drawn = shown.to_numpy()
    scale = colors.scale_around_zero(float(np.abs(drawn).max()))
    image = ax.imshow(drawn, aspect="auto", interpolation="nearest", **scale)
    ax.set_yticks(range(len(rows)), rows, fontsize="small")
    _columns(ax, names)
    label, extend = "value at the archetype (s.d.)", _axes.extend_of(image, drawn)
    ax.figure.colorbar(image, ax=ax, label=label, extend=extend, shrink=min(1.0, 1.9 / height), aspect=14, pad=0.03)
    _axes.head(ax, above)
    _axes.finish(ax, show=show, save=save)
    return ax


@gated()
def archetype_weights(
    adata: AnnData,
    groupby: str,
    *,
    cmap: str | Colormap = "Blues",
    norm: Normalize | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    title: str | None = None,
    key: str = keys.ARCHETYPES,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw a heat map of mean weights, groups of cells × archetypes; every row sums to 1.

    Groups are ordered by the archetype that they have most of, so that blocks show.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.archetypes``. Reads ``obsm["X_{key}"]``.
    groupby
        Column of ``obs``: categories, strings or booleans. Cells without a group are left out.
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
    key
        Key of the archetypes.
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
        If there are no archetypes under `key`, or `groupby` is not in ``obs``.
    ValueError
        If `groupby` holds floating-point numbers, `norm` comes with limits, or no cell has a group.

    Examples
    --------
    >>> ax = pae.pl.archetype_weights(adata, "cell_type", show=False)
    >>> ax.get_ylabel()
    'cell_type (number of cells)'
    """
    colors = _axes.Colors(cmap, norm, vmin, vmax)
    above = _axes.titles([""], title)[0]
    weights = slots.weights(adata, key).astype(float)
    group = groups_of(adata, groupby)
    means = weights.groupby(group.to_numpy(), observed=True).mean()
    means = means.iloc[np.lexsort((-means.to_numpy().max(axis=1), means.to_numpy().argmax(axis=1)))]
    counts = group.value_counts()
    rows = [f"{_axes.wrap(str(name), 30)} ({counts[name]:,})" for name in means.index]
    height, width = max(1.4, 0.3 * len(rows)), max(1.6, 0.5 * means.shape[1])
    ax = _axes.single(ax, (width + _axes.room(rows) + 1.2, height + 0.8))
    drawn = means.to_numpy()
    image = ax.imshow(drawn, aspect="auto", interpolation="nearest", **colors.scale(0.0, 1.0))
    for (i, j), value in np.ndenumerate(drawn):
        if value >= 0.005:
            ink = _ink(np.asarray(image.to_rgba(value)))
            ax.text(j, i, f"{value:.2f}", color=ink, ha="center", va="center", fontsize="x-small")
    ax.set_yticks(range(len(rows)), rows, fontsize="small")
    ax.set_ylabel(f"{groupby} (number of cells)")
    _columns(ax, list(means.columns))
    extend, length = _axes.extend_of(image, drawn), min(1.0, 1.6 / height)
    ax.figure.colorbar(image, ax=ax, label="mean weight", extend=extend, shrink=length, aspect=12, pad=0.03)
    _axes.head(ax, above)
    _axes.finish(ax, show=show, save=save)
    return ax


def _ink(paper: NDArray[np.float64]) -> str:
    """White on dark colours, black on light ones."""
    return "w" if np.dot(paper[:3], (0.299, 0.587, 0.114)) < 0.5 else "k"


def _columns(ax: Axes, names: list[str]) -> None:
    short = cells.short(names)
    long = short == names and max(map(len, names)) > 3
    ax.set_xticks(
        range(len(names)), [_axes.wrap(name, 26) for name in short], rotation=90 if long else 0, fontsize="small"
    )
    ax.set_xlabel("archetype")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
