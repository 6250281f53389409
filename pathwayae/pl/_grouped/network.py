"""Pathways that share loadings, as a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import LineCollection

from pathwayae import get
from pathwayae._slots import keys
from pathwayae._slots.leading import leading
from pathwayae.core.gates import gated
from pathwayae.pl import _axes, _groups, _names
from pathwayae.pl._grouped.variance import STYLE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from numpy.typing import NDArray

PITCH = 0.17  # inches along the circle from one name to the next
MOST = 60


@gated()
def network(
    adata: AnnData,
    components: str | Sequence[str] | None = None,
    *,
    n_pathways: int = 30,
    threshold: float = 0.2,
    cmap: str | Colormap = "cividis_r",
    norm: Normalize | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    title: str | None = None,
    key: str = keys.DEFAULT,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw pathways as nodes on a circle, with an edge between every two whose loadings are alike.

    The colour and width of an edge is the cosine of the loadings (of free components, whose signs are arbitrary, its
    absolute value): 1 for the same genes, 0 for none in common. Like pathways stand next to each other, by average
    linkage, so that the layout is the same each time and no two names overlap.

    Parameters
    ----------
    adata
        A fitted AnnData. Read through :func:`pathwayae.get.similarity`.
    components
        Names of components. ``None`` for the `n_pathways` pathways that come first in :func:`pathwayae.pl.loadings`. Of
        more than 60 the first are drawn; the title says so.
    n_pathways
        Number of pathways if `components` is ``None``, at most; the title says of how many.
    threshold
        Smallest cosine that is drawn, from 0 to 1.
    cmap
        Sequential colour map of the cosines, from 0 to 1.
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

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a name is unknown.
    ValueError
        If `n_pathways` is below 1, `threshold` is not between 0 and 1, or `norm` comes with limits.

    Examples
    --------
    >>> ax = pae.pl.network(adata, threshold=0.1, show=False)
    >>> len(ax.texts)
    7
    """
    colors = _axes.Colors(cmap, norm, vmin, vmax)
    if n_pathways < 1:
        msg = f"n_pathways must be at least 1, got {n_pathways}."
        raise ValueError(msg)
    if not 0 <= threshold <= 1:
        msg = f"threshold must be a cosine between 0 and 1, got {threshold}."
        raise ValueError(msg)
    first = leading(adata, key, min(n_pathways, MOST))
    named = first.names if components is None else get.component_names(adata, components, key=key)
    own = f"{MOST} of {len(named):,} components, the first" if len(named) > MOST else ""
    own = first.title if components is None else own
    cosine = get.similarity(adata, named[:MOST], key=key).abs()
    nodes = _groups.order(_groups.tree(cosine.to_numpy()), len(cosine))
    cosine = cosine.iloc[nodes, nodes]
    one, other = np.nonzero(np.triu(cosine.to_numpy() >= threshold, 1))
    strength = cosine.to_numpy()[one, other]
    if not len(strength):
        own = f"{own}\n" if own else ""
        own += f"no two share loadings: the largest cosine is {_largest(cosine.to_numpy()):.2g}"
    above = _axes.titles([own], title)[0]
    names = _names.labels(cosine.index, 36, 1)
    n, room = len(names), 1.15 * _axes.room(names)
    radius = max(1.3, PITCH * n / (2 * np.pi))
    ax = _axes.single(ax, (2 * (radius + room) + 1.4, 2 * (radius + room) + 0.9))
    angle = np.pi / 2 - 2 * np.pi * (np.arange(n) + 0.25) / n
    points = np.column_stack([np.cos(angle), np.sin(angle)])
    by = np.argsort(strength, kind="stable")  # the strongest on top
    edges = LineCollection(
        [_curve(points[one[i]], points[other[i]]) for i in by], linewidths=0.6 + 3.0 * strength[by], zorder=1
    )
    scale = colors.scale(0.0, 1.0)
    edges.set(array=strength[by], cmap=scale["cmap"], norm=scale.get("norm"))
    if "vmin" in scale:
        edges.set_clim(scale["vmin"], scale["vmax"])
    ax.add_collection(edges)
    kinds = get.variance(adata, key=key).set_index("component")["kind"][cosine.index]
    for kind, (color, label) in STYLE.items():
        if (rows := (kinds == kind).to_numpy()).any():
            ax.scatter(points[rows, 0], points[rows, 1], s=34, color=color, label=label, zorder=2)
    _names_around(ax, names, angle, 1.0 + 0.1 / radius)
    reach = 1.0 + (0.12 + room) / radius
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    ax.set_axis_off()
    ax.figure.colorbar(edges, ax=ax, label="cosine of loadings", shrink=0.25, aspect=14, pad=0.01)
    if kinds.nunique() > 1:
        ax.legend(loc="upper left", frameon=False, fontsize="small")
    _axes.head(ax, above)
    _axes.finish(ax, show=show, save=save)
    return ax


def _largest(cosine: NDArray[np.float64]) -> float:
    """The largest cosine of two different components; 0 for one alone."""
    return float(cosine[np.triu_indices(len(cosine), 1)].max(initial=0.0))


def _curve(start: NDArray[np.float64], stop: NDArray[np.float64]) -> NDArray[np.float64]:
    """A curve from one node to another, bent to the centre the more the further they are apart, shape (25, 2)."""
    t = np.linspace(0, 1, 25)[:, None]
    middle = (start + stop) / 2 * (1 - 0.35 * np.linalg.norm(stop - start))
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * stop


def _names_around(ax: Axes, names: list[str], angles: NDArray[np.float64], radius: float) -> None:
    """Write each name outwards from its node, never upside down."""
    for name, angle in zip(names, angles, strict=True):
        x, y = radius * np.cos(angle), radius * np.sin(angle)
        right = np.cos(angle) >= 0
        turn = float(np.degrees(angle)) + (0 if right else 180)
        ax.text(
            x,
            y,
            name,
            rotation=turn,
            rotation_mode="anchor",
            ha="left" if right else "right",
            va="center",
            fontsize="small",
        )
