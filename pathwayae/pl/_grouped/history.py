"""Course of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pathwayae import get
from pathwayae._slots import keys, lookup
from pathwayae.core.gates import gated
from pathwayae.pl import _axes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

STYLE = {  # label, colour, line style and width
    "loss": ("loss (weighted sum)", "black", "-", 2.0),
    "reconstruction": ("reconstruction error", _axes.BLUE, "-", 1.4),
    "zero": ("zero (outside the pathways)", _axes.VERMILLION, "--", 1.4),
    "entropy": ("entropy (spread of the genes)", _axes.GREEN, "-.", 1.4),
}


@gated()
def history(
    adata: AnnData,
    *,
    log: bool = False,
    title: str | None = None,
    key: str = keys.DEFAULT,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw the loss and its terms over the iterations of the fit; terms that the fit gave no weight are left out.

    Parameters
    ----------
    adata
        A fitted AnnData. Read through :func:`pathwayae.get.history`.
    log
        Logarithmic vertical axis.
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
        With one line for the loss and for each term that has values and a weight.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`.
    ValueError
        If the fit had no descent, or `title` is no string.

    Examples
    --------
    >>> ax = pae.pl.history(adata, log=True, key="projection", show=False)
    >>> ax.get_xlabel()
    'iteration'
    """
    above = _axes.titles([""], title)[0]
    table = get.history(adata, key=key)
    if table.empty:
        msg = (
            f"The fit {key!r} had no descent, so there is no course to show: scores='members' are closed form. Fit "
            "with scores='projection' or 'least_squares' for one."
        )
        raise ValueError(msg)
    table = table.drop(columns=_without_weight(lookup.fit_of(adata, key)[keys.PARAMS], table))
    ax = _axes.single(ax, (6.4, 3.2))
    for name, values in table.items():
        if not np.isfinite(values).any():
            continue
        label, color, linestyle, width = STYLE.get(str(name), (str(name).replace("_", " "), _axes.GREY, ":", 1.4))
        marker = "o" if len(values) == 1 else None
        ax.plot(table.index, values, color=color, linestyle=linestyle, linewidth=width, marker=marker, label=label)
    if log:
        ax.set_yscale("log")
    else:
        ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.set_xlabel("iteration")
    ax.set_ylabel("value of the term")
    ax.margins(x=0.01)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    _axes.head(ax, above)
    _axes.bare(ax)
    _axes.finish(ax, show=show, save=save)
    return ax


def _without_weight(params: Mapping[str, Any], table: pd.DataFrame) -> list[str]:
    """Structural terms that counted for nothing in the loss: with θ = 0 both, else by ε.

    Where nothing can load outside the pathways (all zeros), entropy has all of θ.
    """
    theta, epsilon = float(params.get("theta", 1.0)), float(params.get("epsilon", 0.5))
    if "zero" in table and not table["zero"].any():
        epsilon = 1.0
    off = {"zero": theta == 0 or epsilon == 1, "entropy": theta == 0 or epsilon == 0}
    return [name for name in off if off[name] and name in table]
