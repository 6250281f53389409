"""Course of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pathwayae import _keys, get
from pathwayae.pl import _axes

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

STYLE = {
    "loss": ("black", "-", 2.0),
    "reconstruction": (_axes.BLUE, "-", 1.4),
    "zero": (_axes.VERMILLION, "--", 1.4),
    "entropy": (_axes.GREEN, "-.", 1.4),
}


def history(
    adata: AnnData, *, key: str = _keys.DEFAULT, log: bool = False, ax: Axes | None = None, show: bool | None = None
) -> Axes:
    """Loss and its terms over the iterations of the fit.

    Parameters
    ----------
    adata
        A fitted AnnData. Read through :func:`pathwayae.get.history`.
    key
        Key of the fit.
    log
        Logarithmic vertical axis.
    ax
        Axes to draw on. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.

    Returns
    -------
    matplotlib.axes.Axes
        With one line per term that has values.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`.

    Examples
    --------
    >>> pae.pl.history(adata)  # doctest: +SKIP
    """
    table = get.history(adata, key=key)
    ax = _axes.single(ax, (5.2, 3.4))
    for name, values in table.items():
        if not np.isfinite(values).any():
            continue
        color, linestyle, width = STYLE.get(str(name), (_axes.GREY, ":", 1.4))
        marker = "o" if len(values) == 1 else None
        ax.plot(table.index, values, color=color, linestyle=linestyle, linewidth=width, marker=marker, label=str(name))
    if log:
        ax.set_yscale("log")
    else:
        ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.set_xlabel("iteration")
    ax.set_ylabel("value of the term")
    ax.margins(x=0.01)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    _axes.bare(ax)
    _axes.finish(show=show)
    return ax
